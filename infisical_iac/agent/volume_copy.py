"""Copy PostgreSQL's data while they are in use, and complete the copy once they are not.

The second round copies only the files that have changed since the first, so PostgreSQL has to be
stopped for as long as it takes to copy the changes, however much data there is.
"""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from infisical_iac.agent.data import MAIN, create_volume, find_volume, place_of
from infisical_iac.agent.files import require_space, sync
from infisical_iac.agent.runner import Failure, Runner

# A file that was written to so shortly before its copy may change again with the same time.
_RECENT_SECONDS = 2
_SPARE_KIB = 262144
_SYNC_SECONDS = 600


def begin_copy(runner: Runner, name: str, project: str) -> None:
    """Copy the data in use into a volume of a Compose project; `complete_copy` comes next.

    A volume of that name is completed, if it has a part of them. Raises RuntimeError with a
    Failure, or OSError.
    """
    source = _place(runner, MAIN)
    needed = sum(each.stat().st_size for each in _files(source)) // 1024 + _SPARE_KIB
    require_space(source.parent, needed, "the copy", "next to the data, and Docker's disk")
    create_volume(runner, name, project)
    target = _place(runner, name)
    _copy_folder(source, target, in_use=True)
    # One call flushes all of them, without waiting for each.
    runner.must_run(["sync", "--file-system", str(target)], seconds=_SYNC_SECONDS)


def complete_copy(runner: Runner, name: str) -> None:
    """Make the volume an exact copy of the data, flushed to the disk; PostgreSQL must be stopped.

    Raises RuntimeError with a Failure, or OSError.
    """
    _copy_folder(_place(runner, MAIN), _place(runner, name), in_use=False)


def _place(runner: Runner, name: str) -> Path:
    volume = find_volume(runner, name)
    if volume is None:
        raise RuntimeError(Failure("command", f"Docker has no volume {name}"))
    return place_of(runner, volume)


def _files(folder: Path) -> Iterator[Path]:
    for each in folder.rglob("*"):
        if each.is_file() and not each.is_symlink():
            yield each


def _copy_folder(source: Path, target: Path, *, in_use: bool) -> None:
    """Make a folder's copy the same, except for what changes meanwhile if it is `in_use`."""
    gone = {each.name: each for each in os.scandir(target)}
    for entry in os.scandir(source):
        try:
            _copy_entry(entry, gone.pop(entry.name, None), target / entry.name, in_use=in_use)
        except FileNotFoundError:
            if not in_use:
                raise
    for each in gone.values():
        _remove(each)
    _own(target, source.stat())
    if not in_use:
        sync(target)


def _copy_entry(
    entry: os.DirEntry[str], old: os.DirEntry[str] | None, copy: Path, *, in_use: bool
) -> None:
    """Copy a folder, a link or a file; PostgreSQL makes sockets anew. `old` is an earlier copy."""
    began, found = time.time(), entry.stat(follow_symlinks=False)
    there = old.stat(follow_symlinks=False) if old else None
    if old and there and stat.S_IFMT(there.st_mode) != stat.S_IFMT(found.st_mode):
        _remove(old)
        there = None
    if stat.S_ISDIR(found.st_mode):
        copy.mkdir(exist_ok=True)
        _copy_folder(Path(entry), copy, in_use=in_use)
    elif stat.S_ISLNK(found.st_mode):
        copy.unlink(missing_ok=True)
        copy.symlink_to(os.readlink(entry))
    elif stat.S_ISREG(found.st_mode) and not (there and _is_same(there, found)):
        shutil.copyfile(entry, copy)
        _own(copy, found)
        # With this time, no file in use is taken for the same that may still change.
        is_recent = in_use and found.st_mtime > began - _RECENT_SECONDS
        os.utime(copy, ns=(0, 0) if is_recent else (found.st_atime_ns, found.st_mtime_ns))
        if not in_use:
            sync(copy)


def _is_same(copied: os.stat_result, found: os.stat_result) -> bool:
    return (copied.st_size, copied.st_mtime_ns) == (found.st_size, found.st_mtime_ns)


def _own(copy: Path, found: os.stat_result) -> None:
    copy.chmod(stat.S_IMODE(found.st_mode))
    os.chown(copy, found.st_uid, found.st_gid)


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry)
    else:
        with suppress(FileNotFoundError):
            Path(entry).unlink()
