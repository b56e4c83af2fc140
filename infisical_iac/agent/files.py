"""Observe the host's files, write, append and lock them, and install the agent itself."""

import fcntl
import grp
import json
import os
import pwd
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from infisical_iac.agent.runner import Failure, Runner, action, observation

_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFBLK: "block special file",
    stat.S_IFCHR: "character special file",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class PathState:
    """The state of a path, in the words of `stat`.

    Attributes:
        kind: such as "regular file", "regular empty file" or "directory".
        sha256: of the content; None unless it is a readable file, or a link to one.
    """

    kind: str
    mode: str
    owner: str
    sha256: str | None = None


@observation
def states(
    runner: Runner, *, paths: Sequence[str], patterns: Sequence[str] = ()
) -> dict[str, PathState]:
    """Return the state of each existing path, including the paths that match a pattern.

    Args:
        patterns: such as `/etc/infisical/backup/*.env`; only the last part may have a `*`.
    """
    found = [path for pattern in patterns for path in _matching(runner, pattern)]
    read = ((path, _state(runner.path(path))) for path in dict.fromkeys([*found, *paths]))
    return {path: state for path, state in read if state}


def _matching(runner: Runner, pattern: str) -> Iterable[str]:
    folder, _, name = pattern.rpartition("/")
    return sorted(f"{folder}/{each.name}" for each in runner.path(folder).glob(name))


def _state(path: Path) -> PathState | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    return PathState(
        kind or ("regular file" if found.st_size else "regular empty file"),
        f"{stat.S_IMODE(found.st_mode):o}",
        f"{_user(found.st_uid)}:{_group(found.st_gid)}",
        _digest(path),
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return "UNKNOWN"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return "UNKNOWN"


def _digest(path: Path) -> str | None:
    # Reading a fifo might never end, and a device has no content of its own.
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


@observation
def texts(runner: Runner, *, paths: Sequence[str], patterns: Sequence[str] = ()) -> dict[str, str]:
    """Return the text of each existing file by its path; the arguments are those of `states`.

    Bytes that are no UTF-8 are replaced.
    """
    found = [path for pattern in patterns for path in _matching(runner, pattern)]
    read = ((path, runner.text(path)) for path in dict.fromkeys([*found, *paths]))
    return {path: text for path, text in read if text is not None}


MASK = "***"
_MOST_BYTES = 65536
# A shorter secret would also match words that are not secret.
_FEWEST_CHARACTERS = 8
_KEYS = "/etc/infisical/keys/*"
_FILES_OF_SECRETS = tuple(f"/etc/infisical/{each}*.env" for each in ("", "credentials/", "backup/"))
_SECRET = re.compile(r"[A-Z_]*(?:PASSWORD|SECRET|KEY)=(.*)")


@observation
def masked_text(runner: Runner, *, path: str) -> str:
    """Return at most the first 64 KiB of a file, with each secret of this host masked.

    Empty if the file can't be read.
    """
    try:
        with runner.path(path).open("rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError:
        return ""
    if len(content) == _MOST_BYTES:
        # The last line is dropped, because a cut secret would not be recognized.
        content = content.rpartition(b"\n")[0]
    text = content.decode(errors="replace")
    found = {form for secret in _secrets(runner) for form in _in_logs(secret)}
    # Longest first, because one secret may be a part of another.
    for each in sorted(found, key=len, reverse=True):
        text = text.replace(each, MASK)
    return text


def _secrets(runner: Runner) -> Iterator[str]:
    """Yield each secret of this host that is long enough to be recognized."""
    for text in texts(runner, paths=[], patterns=[_KEYS]).values():
        yield from (line for line in text.splitlines() if len(line) >= _FEWEST_CHARACTERS)
    for text in texts(runner, paths=[], patterns=_FILES_OF_SECRETS).values():
        for match in filter(None, map(_SECRET.fullmatch, text.splitlines())):
            if len(match[1]) >= _FEWEST_CHARACTERS:
                yield match[1]


def lines_without_keys(runner: Runner, lines: Iterable[str]) -> list[str]:
    """Return the lines that contain no key of this host; none at all if no key is known."""
    keys = texts(runner, paths=[], patterns=[_KEYS]).values()
    forms = {
        form for text in keys for key in filter(None, text.splitlines()) for form in _in_logs(key)
    }
    return [line for line in lines if forms and not any(form in line for form in forms)]


def _in_logs(secret: str) -> tuple[str, str, str]:
    """Return a secret as it is, as Node writes it in JSON, and as Go does."""
    by_node = re.sub(r'[\\"]', r"\\\g<0>", secret).replace("\t", "\\t")
    return secret, by_node, re.sub("[&<>]", lambda sign: f"\\u{ord(sign[0]):04x}", by_node)


def write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file atomically: readers find the old or the new file, also after a power cut.

    The new file is created next to the old one, and flushed to the disk before it replaces it. Its
    folder is flushed afterwards. A missing folder is created, for root only if `mode` is 0600.
    Raises OSError, with the old file in place.
    """
    make_folder(path.parent, mode=0o700 if mode == 0o600 else 0o755)
    new = path.with_name(f".{path.name}.new-{os.getpid()}")
    with suppress(FileNotFoundError):
        new.unlink()  # left by a dead process with the same id
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except BaseException:
        with suppress(FileNotFoundError):
            new.unlink()
        raise
    sync(path.parent)


def copy(path: Path, to: Path) -> None:
    """Copy a file with its owner, mode and time, atomically as `write` does."""
    make_folder(to.parent)
    new, found = to.with_name(f".{to.name}.new-{os.getpid()}"), path.stat()
    new.unlink(missing_ok=True)
    try:
        shutil.copy2(path, new)
        os.chown(new, found.st_uid, found.st_gid)
        sync(new)
        os.replace(new, to)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync(to.parent)


def make_folder(path: Path, *, mode: int = 0o700) -> None:
    """Make a folder if it is missing, so that a power cut does not take it away with its files."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=mode)
    for each in missing:
        sync(each.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the new files of a folder that a killed process could not put in place.

    Such a file may hold a secret. This process must not be writing there.
    """
    for each in folder.glob(".*.new-*") if folder.is_dir() else ():
        owner = each.name.rpartition("-")[2]
        if owner == str(os.getpid()) or not Path("/proc", owner).exists():
            each.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file if it is there, so that a power cut does not bring it back."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync(path.parent)


def rename(path: Path, to: Path) -> None:
    """Move a file or folder in one step, so that a power cut does not move it back.

    Replaces a file or an empty folder. Raises OSError if `to` has content or is on another disk.
    """
    os.replace(path, to)
    sync(to.parent)
    if path.parent != to.parent:
        sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_space(path: Path, kib: int, what: str, place: str) -> None:
    """Raise RuntimeError with a Failure if the disk of a path has too little space.

    Args:
        what: begins the sentence, such as "the dump".
        place: continues it after the needed space, such as "and /var/lib/x".
    """
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize // 1024
    if free <= kib:
        message = f"{what} may take {kib // 1024} MB {place} has {free // 1024} MB free"
        raise RuntimeError(Failure("command", message, "make room"))


@contextmanager
def hold(path: Path, seconds: float, busy: str) -> Iterator[None]:
    """Hold the lock of a folder, or of a file, which is created if it is missing.

    Args:
        seconds: how long to wait for it.
        busy: the sentence for a lock that somebody else holds.

    Raises RuntimeError with a Failure if it does not become free.
    """
    make_folder(path.parent)
    end = time.monotonic() + seconds
    flags = os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    descriptor = os.open(path, flags, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= end:
                    raise RuntimeError(Failure("command", busy)) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


@action
def append_entry(runner: Runner, *, path: str, entry: str) -> None:
    """Append an entry, a JSON object, to the audit log.

    Each line has the SHA-256 of the line before it, which shows if a line was changed or removed
    later.
    """
    file = runner.path(path)
    with hold(file, 30, f"another run is writing {path}"), file.open("rb+") as log:
        text = log.read()
        # A host that crashed while it wrote may have left half a line.
        begin = b"\n" if text and not text.endswith(b"\n") else b""
        lines = (text + begin).splitlines(keepends=True)
        previous = sha256(lines[-1] if lines else b"").hexdigest()
        new = json.dumps({"previous": previous, **json.loads(entry)}, ensure_ascii=False)
        log.write(begin + f"{new}\n".encode())
        log.flush()
        os.fsync(log.fileno())


def install(archive: bytes, target: Path) -> None:
    """Install the agent as `target`, `agent-<protocol>-<hash>.pyz`, and remove older ones.

    Raises RuntimeError with a Failure, with nothing changed, if the host has an agent of a newer
    protocol, or if the archive arrived incomplete.
    """
    _, protocol, digest = target.stem.split("-")
    if not sha256(archive).hexdigest().startswith(digest):
        raise RuntimeError(
            Failure("command.agent", "the agent was damaged on its way to the host", "run again")
        )
    others = [each for each in target.parent.glob("agent-*-*.pyz") if each != target]
    for each in others:
        number = each.stem.split("-")[1]
        if number.isdecimal() and int(number) > int(protocol):
            raise RuntimeError(
                Failure(
                    "refused.newer_tool",
                    "a newer infisical-iac has worked on this host",
                    "update this one, as with `uv tool upgrade infisical-iac`",
                )
            )
    write(target, archive, mode=0o644)
    for each in others:
        each.unlink(missing_ok=True)
