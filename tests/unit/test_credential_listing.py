"""The files of credentials as the host tells them, whatever is in one of them."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from infisical_iac.operations import credentials


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def run(command: str, *, doing: str) -> str:
        ran = subprocess.run(["sh", "-c", command], capture_output=True, check=True, text=True)
        return ran.stdout

    monkeypatch.setattr(credentials, "run", run)
    monkeypatch.setattr(credentials, "DIRECTORY", tmp_path)
    monkeypatch.setattr(credentials, "host", SimpleNamespace(name="demo"))
    return tmp_path


def test_files_are_told_by_name_with_their_lines(directory: Path) -> None:
    (directory / "backend.staging.env").write_text("A=1\nB=2\n")
    (directory / "web.staging.env").write_text("C=3\n")
    assert credentials.store().read() == {"backend.staging": "A=1\nB=2\n", "web.staging": "C=3\n"}


@pytest.mark.parametrize("odd", [b"\xff", b"\0", b"\x0c", b"\r", "\u2028".encode()])
def test_a_damaged_file_hides_no_other(directory: Path, odd: bytes) -> None:
    (directory / "backend.staging.env").write_bytes(b"A=1\n" + odd + b"B=2\n")
    (directory / "web.staging.env").write_text("C=3\n")
    found = credentials.store().read()
    assert found["web.staging"] == "C=3\n"
    assert found["backend.staging"] not in ("A=1\nB=2\n", "")
    assert len(found) == 2
