"""Test `infisical-iac init` as a person meets it: typed on a terminal, with mistakes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.workspace.load import load
from tests.unit.init.own import make_repository, read_all
from tests.unit.init.sshd import Sshd, sshd
from tests.unit.init.terminal import Typed

_COMMAND = (sys.executable, "-c", "from infisical_iac.cli.main import main; main()", "init")


@pytest.fixture
def running() -> Iterator[Sshd]:
    with sshd() as started:
        yield started


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8"}


def test_a_first_deploy_is_typed_with_a_mistake_at_each_question(
    tmp_path: Path, running: Sshd, environment: dict[str, str]
) -> None:
    own = make_repository(tmp_path)
    key = tmp_path / "home" / "key"
    running.user_key.write_private_key_file(str(key))
    typed = Typed(_COMMAND, own, environment | {"INFISICAL_SSH_KEY": str(key)})
    for question, wrong, right in (
        ("name or address", "my server", "127.0.0.1"),
        ("port of SSH", "ssh", str(running.port)),
        ("log in as", "Root User", ""),
        ("this server's key", "perhaps", "y"),
        ("domain of Infisical", "secrets", ""),
        ("Is that right", "hm", "n"),
        ("domain of Infisical", "https://secrets", "secrets.example.com"),
        ("e-mail address", "ada", "ada@example.com"),
        ("services are in", "nowhere", ".."),
        ("organization", "x" * 65, "Acme"),
        ("project in Infisical", "x" * 65, ""),
        ("environments", "Dev", "dev, prod"),
        ("backend a service", "perhaps", "y"),
        ("frontend a service", "2", "n"),
        ("place for backups", "the moon", "later"),
    ):
        for line in (wrong, right):
            typed.answer(question, line)
    assert typed.finish() == 0, typed.seen
    assert typed.seen.count("Error: ") == 15
    assert running.fingerprint in typed.seen
    assert "login as root works" in typed.seen
    declared = load(own / "group_data" / "acme.yaml")
    assert ([each.slug for each in declared.environments], [*declared.services]) == (
        ["dev", "prod"],
        ["backend"],
    )
    assert (own / ".infisical-iac" / "known_hosts").read_text() == f"{running.line}\n"

    again = Typed(_COMMAND, own, environment)
    again.answer("What next", "3")
    again.answer("e-mail address", "zoe@example.com")
    again.answer("role", "admin")
    again.answer("Write this", "y")
    again.answer("What next", "")
    assert again.finish() == 0, again.seen
    assert load(own / "group_data" / "acme.yaml").people == {"zoe@example.com": "admin"}


def test_the_end_of_input_at_a_question_leaves_the_directory_empty(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    own = make_repository(tmp_path)
    typed = Typed(_COMMAND, own, environment)
    typed.answer("name or address", "\x04")
    assert typed.finish() == 1
    assert "Traceback" not in typed.seen
    assert read_all(own) == {}
