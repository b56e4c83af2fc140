"""Find the two files that a start may read; refuse those that somebody else may have written."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, NamedTuple

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROJECT_FILE = ".infisical.json"
ENV_FILE = ".env.local"
OVERRIDES = ".env.override"
_ROOT = 0


class Process(NamedTuple):
    """The user and the group that this process runs as."""

    uid: int
    gid: int


class Directory(NamedTuple):
    """The owner, group and mode of a directory, and the owner of the file in it, if it has one."""

    uid: int
    gid: int
    mode: int
    file: int | None


Verdict = Literal["take", "go on", "stop", "refuse"]


def judge(place: Directory, start: Directory, process: Process) -> Verdict:
    """Return what to do with a directory on the way from `start` upwards.

    A directory counts if only root, this process's user and the owner of `start` may put a file
    into it. The search ends at any other directory. A file in it is refused, except in `start`
    itself if one of these users owns the file.
    """
    owners = {_ROOT, process.uid, start.uid}
    groups = {process.gid} | ({start.gid} if start.mode & stat.S_IWGRP else set())
    open_to_group = place.mode & stat.S_IWGRP and place.gid not in groups
    if place.uid in owners and not open_to_group and not place.mode & stat.S_IWOTH:
        return "go on" if place.file is None else "take"
    if place.file is None:
        return "stop"
    return "take" if place is start and place.file in owners else "refuse"


def find(directory: Path, warn: Callable[[str], None]) -> tuple[Path | None, Path]:
    """Return the `.infisical.json` that counts, if any, and the path of `.env.local` next to it.

    Args:
        directory: the first of the search; its parents follow.
        warn: called with a file that exists and does not count.
    """
    start = _inspect(directory / PROJECT_FILE)
    for folder in (directory, *directory.parents):
        file = folder / PROJECT_FILE
        place = start if folder == directory else _inspect(file)
        verdict = _judge_for_process(place, start) if place else "go on"
        if verdict == "take":
            return file, folder / ENV_FILE
        if verdict == "refuse":
            warn(
                f"{file} is not read, because somebody else may have written it: keep it in a"
                " directory that only its owner and this user may write to"
            )
        if verdict != "go on":
            break
    return None, directory / ENV_FILE


def read(file: Path) -> bytes:
    """Return the text of a file; raises ConfigError `not_configured`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise _wrong(f"{file} can't be read ({error.strerror}): let this user read it") from None


def read_private(file: Path) -> bytes | None:
    """Return the text of a file that only its owner may open; None if there is no file.

    Raises ConfigError `not_configured` for a file that is open to others, or that somebody else may
    have put there.
    """
    if not os.path.isfile(file):
        return None
    place = _inspect(file)
    if place and _judge_for_process(place, place) == "refuse":
        raise _wrong(f"{file} belongs to another user: delete it, or make it your own")
    if _has_users() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _wrong(f"{file} is open to other users: run `chmod 600 {file}`")
    return read(file)


def _judge_for_process(place: Directory, start: Directory | None) -> Verdict:
    if _has_users():
        return judge(place, start or place, Process(os.geteuid(), os.getegid()))
    return "go on" if place.file is None else "take"


def _inspect(file: Path) -> Directory | None:
    """Return the attributes of a file's directory; None if it, and so the file, can't be read."""
    try:
        of = file.parent.stat()
        # The owner of the link itself, who decides which file is read.
        owner = file.lstat().st_uid if os.path.isfile(file) else None
    except OSError:
        return None
    return Directory(of.st_uid, of.st_gid, of.st_mode, owner)


def _has_users() -> bool:
    return hasattr(os, "geteuid")  # not on Windows


def _wrong(message: str) -> ConfigError:
    return ConfigError("not_configured", message)
