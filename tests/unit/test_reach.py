"""What pruning reads and removes on the host."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.cli import reach
from infisical_iac.operations import remote


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the credentials are, and a host that is this machine."""

    def run(command: str, *, doing: str) -> str:
        return subprocess.run(
            command, shell=True, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(reach, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(remote, "run", run)
    return tmp_path


def _write(path: Path, client_id: str) -> str:
    secret = "INFISICAL_CLIENT_SECRET=fake-secret"
    path.write_text(f"# comment\nINFISICAL_CLIENT_ID={client_id}\n{secret}\n", encoding="utf-8")
    return str(path)


def test_credentials_tell_the_client_id_and_not_the_secret(directory: Path) -> None:
    one, two = (_write(directory / f"{name}.qa.env", f"id-{name}") for name in ("one", "two"))
    (directory / "other.env").write_text("A=b\n", encoding="utf-8")
    assert reach._credentials() == {one: "id-one", two: "id-two"}


def test_a_single_file_is_named_too_and_none_is_none(directory: Path) -> None:
    assert reach._credentials() == {}
    one = _write(directory / "one.qa.env", "id-one")
    assert reach._credentials() == {one: "id-one"}


def test_only_the_named_files_are_removed(directory: Path) -> None:
    one, two = (_write(directory / f"{name}.env", "id") for name in ("$(one) two", "three"))
    reach._discard([])
    reach._discard([one, str(directory / "gone.env")])
    assert [str(each) for each in directory.iterdir()] == [two]
