"""Test that the first administrator is made once, with a password that no argument shows."""

import json
from pathlib import Path

import pytest

from infisical_iac.agent import files
from infisical_iac.agent.bootstrap import bootstrap
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner

_CONFIG = "curl --noproxy * --silent --show-error --fail"
_NEW = '{"config":{"initialized":false}}'
_MADE = '{"config":{"initialized":true}}'


def _host(root: Path, config: str | Output = _NEW, answer: str | Output = "{}\n200") -> FakeRunner:
    host = FakeRunner(root, {_CONFIG: config, "curl": answer})
    host.write(
        "/etc/infisical/admin.env",
        "INFISICAL_ADMIN_EMAIL=admin@example.com\n"
        'INFISICAL_ADMIN_PASSWORD=obviously-"fake"=password\n',
    )
    return host


def test_a_new_instance_gets_the_administrator_of_the_host(tmp_path: Path) -> None:
    host = _host(tmp_path)
    bootstrap(host, port=8080, organization="ChainAlign")
    (_, _), (command, body) = host.ran
    assert command.endswith(" http://127.0.0.1:8080/api/v1/admin/bootstrap")
    assert "password" not in command
    assert json.loads(body) == {
        "email": "admin@example.com",
        "password": 'obviously-"fake"=password',
        "organization": "ChainAlign",
    }


def test_an_instance_with_an_administrator_is_left_unchanged(tmp_path: Path) -> None:
    host = _host(tmp_path, _MADE)
    bootstrap(host, port=8080, organization="ChainAlign")
    assert len(host.ran) == 1


@pytest.mark.parametrize(
    ("config", "answer", "fact"),
    [
        (Output(7, "", "curl: (7) Failed to connect\n"), "", "Failed to connect"),
        ("<html>", "", "admin/config"),
        ('{"config":{}}', "", "admin/config"),
        (_NEW, '{"message":"User already exists"}\n400', "HTTP 400: .*User already exists"),
        (_NEW, Output(28, "", "curl: (28) timed out\n"), "timed out"),
    ],
)
def test_a_failure_has_its_reason(
    tmp_path: Path, config: str | Output, answer: str | Output, fact: str
) -> None:
    with pytest.raises(RuntimeError, match=fact):
        bootstrap(_host(tmp_path, config, answer), port=8080, organization="ChainAlign")


def test_runs_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infisical_iac.agent.bootstrap._LOCK_SECONDS", 0)
    host = _host(tmp_path)
    lock = host.path("/etc/infisical/lock")
    with files.hold(lock, 0, ""), pytest.raises(RuntimeError, match="/etc/infisical/lock"):
        bootstrap(host, port=8080, organization="ChainAlign")
    assert host.ran == []
