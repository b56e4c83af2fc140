"""Test the directory on the host to which archives of images are uploaded."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.core.errors import UserError
from infisical_iac.stack import compose


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that everybody may write to; this machine is the host."""

    def run(command: Any, **_: Any) -> tuple[bool, Any]:
        done = subprocess.run(str(command), shell=True, capture_output=True, text=True)
        lines = done.stderr.splitlines()
        return done.returncode == 0, SimpleNamespace(stdout=done.stdout, stderr_lines=lines)

    monkeypatch.setattr(compose, "_UPLOADS", str(tmp_path))
    monkeypatch.setattr(compose, "host", SimpleNamespace(run_shell_command=run))
    monkeypatch.setattr(compose, "state", SimpleNamespace(print_input=False))
    return tmp_path


def test_an_upload_gets_its_own_private_directory(uploads: Path) -> None:
    first, left = compose._upload_directory(), uploads / "infisical-iac-images.left"
    made = Path(first)
    assert made.parent == uploads
    assert made.stat().st_mode & 0o777 == 0o700
    left.mkdir()
    (left / "images.tar").write_text("of a run that died")
    again = Path(compose._upload_directory())
    assert again.name != made.name
    assert [*uploads.iterdir()] == [again]


def test_a_planted_link_is_not_followed(uploads: Path) -> None:
    victim = uploads / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    (uploads / "infisical-iac-images.planted").symlink_to(victim)
    compose._upload_directory()
    assert (victim / "file").read_text() == "untouched"


def test_a_host_without_an_upload_directory_is_refused(
    uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose, "_UPLOADS", str(uploads / "missing"))
    with pytest.raises(UserError, match=str(uploads / "missing")) as refused:
        compose._upload_directory()
    assert refused.value.code == "error.upload_directory"
