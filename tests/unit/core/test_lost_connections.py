"""Test that an error about a local file is not a lost connection, although both are `OSError`."""

import errno
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from infisical_iac.core.connection import explain_loss, is_lost
from infisical_iac.core.errors import UserError
from infisical_iac.hetzner import remote
from tests.unit import forked

HOST: Any = SimpleNamespace(name="203.0.113.7")


def _read_missing(path: Path) -> OSError:
    try:
        path.read_text()
    except OSError as error:
        return error
    raise AssertionError(f"{path} exists")


@pytest.mark.parametrize(
    "error",
    [
        paramiko.SSHException("Channel closed"),
        EOFError(),
        OSError("Socket is closed"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(),
    ],
)
def test_an_error_without_a_file_is_a_lost_connection(error: Exception) -> None:
    assert is_lost(error)
    sentence = explain_loss(HOST, error, "run again")
    assert "203.0.113.7" in sentence
    assert sentence.endswith(f"({type(error).__name__}): run again")


def test_an_error_about_a_file_names_the_file_and_no_host(tmp_path: Path) -> None:
    error = _read_missing(tmp_path / "all.py")
    assert not is_lost(error)
    sentence = explain_loss(HOST, error, "run again")
    assert str(tmp_path / "all.py") in sentence
    assert os.strerror(errno.ENOENT) in sentence
    assert "connection" not in sentence


@pytest.mark.parametrize("how", [(), ("connected",)])
def test_a_missing_deploy_file_is_named(tmp_path: Path, how: tuple[str, ...]) -> None:
    code, sentence = forked.run("tests.unit.deploy_file_run", str(tmp_path), None, *how)
    assert code == "file.deploy"
    assert "deploy.py" in sentence
    assert "connection" not in sentence


def test_wrong_settings_are_reported_before_any_connection(tmp_path: Path) -> None:
    """Nothing listens at the port: with right settings, the host would be unreachable."""
    data = {"ssh_hostname": "127.0.0.1", "ssh_port": 1, "site_ulr": "https://acme.example"}
    (tmp_path / "inventory.py").write_text(f"hosts = [('one', {data!r})]\n")
    code, sentence = forked.run(
        "tests.unit.deploy_file_run", str(tmp_path), "", str(tmp_path / "inventory.py")
    )
    assert code == "settings.unknown_key"
    assert "site_ulr" in sentence


@pytest.mark.parametrize(
    ("text", "code", "facts"),
    [
        ("open('missing.txt')", "file", r"^missing\.txt\b.*: No such file"),
        ("raise EOFError", "unreachable.host", r"\bone\b.*\(EOFError\)"),
        (
            "from infisical_iac.core.errors import SettingsError as E; raise E('no such host')",
            "settings",
            "no such host",
        ),
    ],
)
def test_an_error_in_the_deploy_file_is_reported_as_a_sentence(
    tmp_path: Path, text: str, code: str, facts: str
) -> None:
    found, sentence = forked.run("tests.unit.deploy_file_run", str(tmp_path), text, "connected")
    assert found == code
    assert re.search(facts, sentence)


def test_a_missing_private_key_is_named_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`server create` must not take this error for a lost connection, and wait for minutes."""

    def connect(*_: object, **__: object) -> None:
        raise _read_missing(tmp_path / "id_ed25519")

    monkeypatch.setattr(paramiko.SSHClient, "connect", connect)
    monkeypatch.setattr(remote.Login, "known_keys", lambda _: ["ssh-ed25519 AAAA"])
    login = remote.Login("203.0.113.7", 22, str(tmp_path / "id_ed25519"))
    with (
        pytest.raises(UserError, match=r"INFISICAL_SSH_KEY") as raised,
        remote.connect(login, timeout=60),
    ):
        pass
    assert "id_ed25519" in str(raised.value)
