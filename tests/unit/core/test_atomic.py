"""Test that files are replaced completely, and flushed to the disk."""

import os
import stat
from pathlib import Path

import pytest

from infisical_iac.core import atomic


def test_the_file_is_flushed_before_the_rename_and_its_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, done = tmp_path / "kit.txt", list[str]()
    file.write_text("old")
    sync = os.fsync

    def record_sync(opened: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file"
        done.append(f"{kind}, {file.read_text()} in place")
        sync(opened)

    monkeypatch.setattr(os, "fsync", record_sync)
    atomic.write(file, "new", mode=0o600)
    assert done == ["file, old in place", "directory, new in place"]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker may foresee the name of the temporary file, or its name in earlier versions."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    monkeypatch.setattr("secrets.token_hex", lambda _: "foreseen")
    for name in (".kit.txt.foreseen.new", f".kit.txt.{os.getpid()}.new"):
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(FileExistsError):
        atomic.write(tmp_path / "kit.txt", "fake secret", mode=0o600)
    assert victim.read_text() == "untouched"
    assert not (tmp_path / "kit.txt").exists()


def test_a_private_file_is_never_readable_by_other_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes, before = list[int](), os.umask(0)
    create = os.open

    def record_mode(path: str | Path, flags: int, mode: int = 0o777) -> int:
        opened = create(path, flags, mode)
        modes.append(os.fstat(opened).st_mode & 0o777)
        return opened

    monkeypatch.setattr(os, "open", record_mode)
    try:
        atomic.write(tmp_path / "kit.txt", "fake secret", mode=0o600)
    finally:
        os.umask(before)
    assert modes[0] == 0o600


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kit.txt"
    file.write_text("old")

    def fails(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="no space left"):
        atomic.write(file, "new")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"kit.txt": "old"}
