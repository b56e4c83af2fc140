"""Test the files with credentials, on a host and in a directory."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from infisical_iac.agent.files import texts
from infisical_iac.agent.runner import Runner
from infisical_iac.core import remote
from infisical_iac.core.errors import FileError
from infisical_iac.workspace import deploy
from infisical_iac.workspace.credential_file import Store, directory
from infisical_iac.workspace.credentials import Holder, Step, carry_over
from tests.unit.fake_programs import run_with
from tests.unit.held import ACCOUNT, HELD, TEXT_BEFORE, TEXT_HELD


@pytest.fixture(params=["directory", "host"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in a directory or on a host; this machine is the host."""
    where = tmp_path / "credentials"
    if request.param == "directory":
        return directory(where)

    def run(command: str, *, doing: str, stdin: str | None = None) -> str:
        return run_with(tmp_path, command, stdin=stdin or "", check=True).stdout.removesuffix("\n")

    monkeypatch.setattr(deploy, "DIRECTORY", str(where))
    monkeypatch.setattr(deploy, "host", SimpleNamespace(name="host"))
    found = partial(texts, Runner(), paths=[], patterns=[f"{where}/*.env"])
    monkeypatch.setattr(deploy, "inspect", lambda asked: found())
    monkeypatch.setattr(remote, "run", run)
    return deploy.credential_store()


def test_written_files_are_read_back_and_removed(store: Store, tmp_path: Path) -> None:
    assert dict(store.read()) == {}
    store.write("a.production", "A=1\n")
    store.write("b.production", "# two\nB=2\n")
    store.write("a.production", "A=3\n")
    assert dict(store.read()) == {"a.production": "A=3\n", "b.production": "# two\nB=2\n"}
    files = list((tmp_path / "credentials").iterdir())
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    store.remove("a.production")
    store.remove("a.production")
    assert list(store.read()) == ["b.production"]


def test_a_file_is_moved_to_the_new_name_of_its_service(store: Store, tmp_path: Path) -> None:
    account = ACCOUNT._replace(former="server")
    store.write(account.former_credentials, TEXT_HELD)
    holder = Holder("identity-1", HELD.client_id, ())
    for _ in range(2):  # the second time, everything is done already
        carry_over(store, Step(account, holder, creates=False, held=HELD, moves=True))
        assert store.read() == {account.credentials: TEXT_HELD}
    (file,) = (tmp_path / "credentials").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_former_file_gets_infisical_environment(store: Store) -> None:
    store.write(ACCOUNT.credentials, TEXT_BEFORE)
    holder = Holder("identity-1", HELD.client_id, ())
    held = replace(HELD, is_former=True)
    carry_over(store, Step(ACCOUNT, holder, creates=False, held=held))
    assert store.read() == {ACCOUNT.credentials: TEXT_HELD}


def test_a_file_without_a_line_end_does_not_hide_the_next(store: Store, tmp_path: Path) -> None:
    store.write("a.production", "A=1")
    store.write("b.production", "B=2\n")
    assert store.read()["b.production"] == "B=2\n"


def test_files_are_read_by_name_with_their_lines(store: Store, tmp_path: Path) -> None:
    where = tmp_path / "credentials"
    where.mkdir()
    (where / "backend.staging.env").write_text("A=1\nB=2\n")
    (where / "web.staging.env").write_text("C=3\n")
    assert store.read() == {"backend.staging": "A=1\nB=2\n", "web.staging": "C=3\n"}


@pytest.mark.parametrize("odd", [b"\xff", b"\0", b"\x0c", b"\r", "\u2028".encode()])
def test_a_damaged_file_hides_no_other(store: Store, tmp_path: Path, odd: bytes) -> None:
    where = tmp_path / "credentials"
    where.mkdir()
    (where / "backend.staging.env").write_bytes(b"A=1\n" + odd + b"B=2\n")
    (where / "web.staging.env").write_text("C=3\n")
    found = store.read()
    assert found["web.staging"] == "C=3\n"
    assert found["backend.staging"] not in ("A=1\nB=2\n", "")
    assert len(found) == 2


def test_a_directory_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="can't be used"):
        directory(tmp_path / "file").write("a.production", "A=1\n")
