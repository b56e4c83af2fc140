"""Test the delivery of credentials into a file on another host, through ssh."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.workspace.credential_file import Credential, Replaced, parse
from infisical_iac.workspace.delivery import RemoteFile
from infisical_iac.workspace.targets import FileTarget
from tests.unit.ssh_server import ssh_server

HELD = Credential(
    "production", "client-1", "secret-1", "fake-secret", replaced=Replaced(("secret-0",))
)


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of an SSH server that `ssh` reaches and whose key it knows."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    with ssh_server(home) as port:
        yield port


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the file to write."""
    where = tmp_path / "service"
    where.mkdir()
    return where / "credentials.env"


def _courier(port: int, file: Path) -> RemoteFile:
    return RemoteFile(FileTarget(host=f"deploy@127.0.0.1:{port}", path=str(file)))


def test_the_file_is_written_atomically_and_private(port: int, file: Path) -> None:
    courier = _courier(port, file)
    courier.check()
    assert courier.differs(HELD)
    courier.deliver(HELD)
    assert parse(file.read_text()) == HELD.without_rotation
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["credentials.env"]
    assert not courier.differs(HELD)


def test_a_file_that_others_may_read_is_rewritten(port: int, file: Path) -> None:
    courier = _courier(port, file)
    courier.deliver(HELD)
    file.chmod(0o644)
    assert courier.differs(HELD)
    courier.deliver(HELD)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_with_other_content_is_kept(port: int, file: Path) -> None:
    file.write_text("PASSWORD=hunter\n")
    with pytest.raises(UserError, match="holds something else") as refused:
        _courier(port, file).deliver(HELD)
    assert "hunter" not in str(refused.value)
    assert file.read_text() == "PASSWORD=hunter\n"


def test_a_missing_directory_is_reported(port: int, file: Path) -> None:
    file.parent.rmdir()
    with pytest.raises(UserError, match="its directory is missing"):
        _courier(port, file).check()


def test_a_host_with_an_unknown_key_gets_nothing(port: int, file: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "known_hosts").unlink()
    with pytest.raises(UserError, match="Host key verification failed"):
        _courier(port, file).deliver(HELD)
    assert not file.exists()


def test_a_silent_host_is_reported(port: int, file: Path) -> None:
    with pytest.raises(UserError, match=r"can't be written \(.*refused"):
        _courier(1, file).check()
