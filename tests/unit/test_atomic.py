"""Files that are there whole, on the disk too."""

import os
import stat
from pathlib import Path

import pytest

from infisical_iac import atomic


def test_a_text_is_on_the_disk_before_it_takes_its_place_and_so_is_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, done = tmp_path / "kit.txt", list[str]()
    file.write_text("old")
    sync = os.fsync

    def watched(opened: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file"
        done.append(f"{kind}, {file.read_text()} in place")
        sync(opened)

    monkeypatch.setattr(os, "fsync", watched)
    atomic.write(file, "new", mode=0o600)
    assert done == ["file, old in place", "directory, new in place"]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)


def test_a_disk_that_fails_leaves_the_old_text_and_nothing_else(
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
