"""Test how the host's checks read its secrets, and what they search for."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.host import secrecy, stored
from tests.host.secrecy import Secret, files_holding, lasting_files_holding
from tests.host.stored import confidential, read_secrets

_TEXT = "-----BEGIN FAKE-----\nobviously-fake-line-of-a-key\n-----END FAKE-----"


class _Shell:
    """Run the commands of a Connection on this machine."""

    def quietly(self, command: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["sh", "-c", command], input=stdin, capture_output=True, text=True, timeout=60
        )
        return done.stdout


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Secret]:
    for directory in ("keys", "credentials"):
        (tmp_path / directory).mkdir()
    (tmp_path / "keys/auth_secret").write_text("obviously-fake-secret\n")
    (tmp_path / "keys/given_github_key").write_text(f"{_TEXT}\n")
    (tmp_path / "keys/given_smtp_password").write_text("short\n")
    login = "INFISICAL_ADMIN_EMAIL=ada@example.com\nINFISICAL_ADMIN_PASSWORD=obviously-fake\n"
    (tmp_path / "admin.env").write_text(login)
    monkeypatch.setattr(stored, "ROOT", str(tmp_path))
    return read_secrets(_Shell())  # type: ignore[arg-type]


def test_secrets_of_several_lines_are_read(secrets: dict[str, Secret]) -> None:
    assert {name: each.reveal() for name, each in secrets.items()} == {
        "keys: auth_secret": "obviously-fake-secret",
        "keys: given_github_key": _TEXT,
        "keys: given_smtp_password": "short",
        "admin.env: INFISICAL_ADMIN_PASSWORD": "obviously-fake",
    }


def test_files_are_searched_for_the_longest_line_of_a_secret(
    secrets: dict[str, Secret], tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("-----BEGIN FAKE-----\nshort\n")
    values = confidential(secrets)
    assert files_holding(values, _Shell(), [f"{tmp_path}/log"]) == []  # type: ignore[arg-type]
    (tmp_path / "log").write_text("obviously-fake-line-of-a-key\n")
    found = files_holding(values, _Shell(), [f"{tmp_path}/log"])  # type: ignore[arg-type]
    assert found == [f"{tmp_path}/log"]


def test_a_file_that_goes_within_a_second_is_not_counted(
    secrets: dict[str, Secret], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lasting", "passing"):
        (tmp_path / name).write_text("obviously-fake-line-of-a-key\n")
    # The clock of this module alone: subprocess sleeps too while it waits.
    clock = SimpleNamespace(sleep=lambda _seconds: (tmp_path / "passing").unlink())
    monkeypatch.setattr(secrecy, "time", clock)
    searched = [f"{tmp_path}/lasting", f"{tmp_path}/passing"]
    values = confidential(secrets)
    found = lasting_files_holding(values, _Shell(), searched)  # type: ignore[arg-type]
    assert found == [f"{tmp_path}/lasting"]
