"""The deletion of `.env` files whose every value was read back from Infisical."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from infisical_iac.errors import UserError
from infisical_iac.migrate import worktree
from infisical_iac.migrate.fingerprint import of_bytes


class CleanError(UserError):
    """Nothing may be deleted, or not all of what was to be."""


@dataclass(frozen=True)
class Verified:
    """A file that was read back from Infisical, byte for byte.

    Attributes:
        path: relative to the root, with slashes.
        digest: the keyed hash of the file's bytes when it was verified.
        keys: the names that are in Infisical.
        skipped: the names that the plan left out: with the file goes the last that has them.
    """

    path: str
    digest: str
    service: str
    environment: str
    keys: tuple[str, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """A file that may be deleted, and what is in it."""

    file: Verified
    data: bytes = field(repr=False)
    is_tracked: bool


@dataclass(frozen=True)
class Kept:
    """A file that is not deleted, and why, with what to do about it."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is kept: {self.reason}"


class Examined(NamedTuple):
    """Hold what is to become of the files; those that are gone already are in neither."""

    ready: list[Ready]
    kept: list[Kept]


def examine(root: Path, files: Iterable[Verified], key: bytes, *, archived: bool) -> Examined:
    """Look at each file as it is now; nothing is changed.

    Args:
        key: of the files' hashes.
        archived: whether an archive is made; without one, a file with skipped keys is kept.
    """
    found = Examined([], [])
    for file in files:
        try:
            data = _read(root, file, key)
            _check_keys(file, archived=archived)
            found.ready.append(Ready(file, data, worktree.is_tracked(root / file.path)))
        except FileNotFoundError:
            continue
        except UserError as error:
            found.kept.append(Kept(file.path, str(error)))
    return found


def _check_keys(file: Verified, *, archived: bool) -> None:
    if not file.keys:
        raise CleanError("nothing of it is in Infisical: delete it by hand if it isn't needed")
    if file.skipped and not archived:
        names = ", ".join(file.skipped)
        raise CleanError(f"{names} would be lost without an archive: make one")


def delete(root: Path, ready: Ready, key: bytes) -> Kept | None:
    """Take the file out of git's index and delete it, if it is still the one examined.

    Returns why it is kept, if it is; that it has gone in the meantime is no reason.
    """
    path = root / ready.file.path
    try:
        _read(root, ready.file, key)
        if ready.is_tracked:
            worktree.untrack(path)
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        return None
    except UserError as error:
        return Kept(ready.file.path, str(error))
    except OSError as error:
        return Kept(ready.file.path, f"it can't be deleted ({error.strerror}): see who owns it")
    return None


def _read(root: Path, file: Verified, key: bytes) -> bytes:
    """The bytes of the file, which are those that were verified.

    Raises FileNotFoundError if it is gone, and CleanError if it may not be deleted.
    """
    path = _inside(root, file.path)
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise CleanError("it is a symbolic link: delete it and what it points to by hand")
        if not stat.S_ISREG(mode):
            raise CleanError("it is no plain file: see what it is")
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CleanError(f"it can't be read ({error.strerror}): see who owns it") from None
    if of_bytes(key, data) != file.digest:
        raise CleanError("it has changed since it was verified: plan and apply once more")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CleanError("its directory can't be written to: see who owns that")
    return data


def _inside(root: Path, path: str) -> Path:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise CleanError(f"it is outside {root}: delete it by hand")
    parent = (root / relative).parent
    if parent.resolve() != parent:
        raise CleanError("a directory on its way is a symbolic link: delete it by hand")
    return root / relative
