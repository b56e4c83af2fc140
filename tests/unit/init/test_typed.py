"""Test `infisical-iac init` on a terminal, with a wrong answer to each question."""

import os
import sys
from pathlib import Path
from typing import get_args

import pytest

from infisical_iac.init.repository import read_settings
from infisical_iac.workspace.load import load
from infisical_iac.workspace.model import Isolation
from tests.on_terminal import run_on_terminal
from tests.unit.init.conftest import RunningServer
from tests.unit.init.own import make_repository, read_all

_COMMAND = (sys.executable, "-c", "from infisical_iac.cli.main import main; main()", "init")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}


def test_each_question_on_a_terminal_is_repeated_after_a_wrong_answer(
    tmp_path: Path, running: RunningServer, environment: dict[str, str]
) -> None:
    own = make_repository(tmp_path)
    with_key = environment | {"INFISICAL_SSH_KEY": str(running.user_key)}
    questions = (
        ("name or address", "my server", "127.0.0.1"),
        ("port of SSH", "ssh", str(running.port)),
        ("log in as", "Root User", ""),
        ("this server's key", "perhaps", "y"),
        ("manage the server", "perhaps", ""),
        ("domain of Infisical", "secrets", ""),
        ("Is that right", "hm", "n"),
        ("domain of Infisical", "https://secrets", "secrets.example.com"),
        ("e-mail address", "ada", "ada@example.com"),
        ("services are in", "nowhere", ".."),
        ("organization", "x" * 65, "Acme"),
        ("project in Infisical", "x" * 65, ""),
        ("environments", "Dev", "dev, prod"),
        ("restricts a service to", "folders", "projects"),
        ("backend a service", "perhaps", "y"),
        ("frontend a service", "2", "n"),
        ("place for backups", "the moon", "later"),
        ("send mail", "yes", "smtp.example.com"),
        ("port of the mail server", "smtp", "587"),
        ("TLS of the mail server", "tls", "starttls"),
        ("login of the mail server", "", "infisical"),
        ("mails come from", "infisical", ""),
        ("sign in with", "Facebook", "GitHub"),
        ("client id", "f" * 40, "Iv1.fake"),
        ("report problems", "perhaps", "yes"),
        ("send alerts", "pigeon", "slack"),
        ("a heartbeat", "perhaps", "y"),
    )
    with run_on_terminal(_COMMAND, directory=own, environment=with_key) as typed:
        for question, wrong, right in questions:
            for line in (wrong, right) if wrong else (right,):
                typed.answer(question, line)
        assert typed.finish() == 0, typed.shown
    assert typed.shown.count("Error: ") == 26
    assert "https://secrets.example.com/api/v1/sso/github" in typed.shown
    values = read_settings((own / "group_data" / "hetzner.py").read_text())
    assert values["smtp"] == {
        "host": "smtp.example.com",
        "port": 587,
        "tls": "starttls",
        "user": "infisical",
        "from_address": "infisical@example.com",
    }
    assert values["isolation"] == "projects"
    assert [each for each in get_args(Isolation) if f"{each}: " not in typed.shown] == []
    assert values["monitoring"] == "on"
    assert values["alerts"] == ({"name": "team", "kind": "slack"},)
    assert values["heartbeat_url"] == "given"
    assert values["login"] == {"github": {"client_id": "Iv1.fake"}}
    assert running.host_key.fingerprint in typed.shown
    assert "login as root works" in typed.shown
    declared = load(own / "group_data" / "acme.yaml")
    assert ([each.slug for each in declared.environments], [*declared.services]) == (
        ["dev", "prod"],
        ["backend"],
    )
    assert (own / ".infisical-iac" / "known_hosts").read_text() == running.known_hosts

    with run_on_terminal(_COMMAND, directory=own, environment=environment) as again:
        again.answer("What next", "3")
        again.answer("e-mail address", "zoe@example.com")
        again.answer("role", "admin")
        again.answer("Write this", "y")
        again.answer("What next", "")
        assert again.finish() == 0, again.shown
    assert load(own / "group_data" / "acme.yaml").people == {"zoe@example.com": "admin"}


def test_the_end_of_input_at_a_question_leaves_the_directory_empty(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    own = make_repository(tmp_path)
    with run_on_terminal(_COMMAND, directory=own, environment=environment) as typed:
        typed.answer("name or address", "\x04")
        assert typed.finish() == 1
    assert "Traceback" not in typed.shown
    assert read_all(own) == {}
