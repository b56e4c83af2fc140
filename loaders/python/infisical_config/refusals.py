"""Note a credential that Infisical refused, so that restarts don't try it again."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .fallback import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .bootstrap import Bootstrap
    from .cache import Cache

_VERSION = 1
# Seconds for which a refused credential is not tried again.
PAUSE: Final = 600
# Seconds that a start waits if it can't note the refusal: the server counts wrong logins that are
# at most 30 s apart, and locks the identity at the third.
WAIT: Final = 31
# The most seconds that a start waits while another one logs in.
PATIENCE: Final = 5
# Seconds after which a lock counts as left by a process that has ended.
LOCK_AGE: Final = 30
_POLL = 0.05


class Refusals:
    """The note of a refused credential in a file.

    It is next to the cache, or in this user's own directory below systemd's cache directory of the
    unit, or among the temporary files.

    Attributes:
        file: where the note is.
    """

    def __init__(self, place: Bootstrap, environ: Mapping[str, str], cache: Cache | None) -> None:
        self._place = place
        self._directory: Path | None = None
        if cache:
            self.file = Path(f"{os.fspath(cache.file)}.refused")
            return
        own = f"infisical-config-{os.geteuid()}" if hasattr(os, "geteuid") else "infisical-config"
        cached = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
        among = cached if os.path.isabs(cached) else environ.get("TMPDIR") or _temporary()
        self._directory = Path(among, own)
        self.file = self._directory / f"{_digest(place)[:16]}.refused"

    def check(self) -> None:
        """Raise ConfigError `refused_before` for a credential that was refused recently."""
        try:
            text = self.file.read_bytes()
        except OSError:
            return
        age = age_of(text, self._place, time.time())
        if age is not None:
            ago, left = words(age), words(PAUSE - age)
            raise self._place.error("refused_before", ago=ago, left=left, file=self.file)

    @contextmanager
    def alone(self, seconds: float) -> Iterator[None]:
        """Keep other processes with the same note from logging in inside the context.

        So replicas that start at the same time make one wrong login together. They do not wait for
        a login that takes long, as it must not cost them their start.

        Args:
            seconds: the time that is left for the start.

        Raises ConfigError `refused_before` if another process was refused meanwhile.
        """
        lock = Path(f"{self.file}.lock")
        end = time.monotonic() + min(PATIENCE, seconds / 2)
        while (is_locked := self._lock(lock)) is False and time.monotonic() < end:
            time.sleep(_POLL)
        try:
            self.check()
            yield
        finally:
            if is_locked:
                with suppress(OSError):
                    lock.unlink()

    def _lock(self, lock: Path) -> bool | None:
        """Return whether the lock was free; None where there is no place for it and the note."""
        try:
            if self._directory and not is_own(self._directory):
                return None
        except OSError:
            return None
        with suppress(OSError):
            if time.time() - lock.stat().st_mtime > LOCK_AGE:
                lock.unlink()
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except OSError:
            return None
        return True

    def add(self) -> bool:
        """Note that the credential was refused; return False if there is no place for the note."""
        import tempfile

        with suppress(OSError):
            if self._directory and not is_own(self._directory):
                return False
            handle, new = tempfile.mkstemp(dir=self.file.parent, prefix=f".{self.file.name}.")
            try:
                with open(handle, "w", encoding="ascii") as stream:
                    stream.write(note(self._place, time.time()))
                os.replace(new, self.file)
            except OSError:
                os.unlink(new)
                raise
            return True
        return False

    def wait(self, warn: Callable[[str], None]) -> None:
        """Wait until a restart may log in again, as no note keeps it from doing so at once.

        Does not wait at a person's terminal.
        """
        if sys.stderr and sys.stderr.isatty():
            return
        warn(
            f"the refusal can't be noted in {self.file}, so this start ends only after {WAIT} s: "
            "immediate restarts would lock the login"
        )
        time.sleep(WAIT)


def note(place: Bootstrap, now: float) -> str:
    """Return the text of a note made at `now`, in seconds of the epoch."""
    return (
        f"{json.dumps({'version': _VERSION, 'refused': int(now), 'credential': _digest(place)})}\n"
    )


def age_of(text: bytes, place: Bootstrap, now: float) -> float | None:
    """Return how many seconds ago the credential was refused; None if it may be tried."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        return None
    refused = found.get("refused")
    if type(refused) is not int or found.get("credential") != _digest(place):
        return None
    age = now - refused
    return age if 0 <= age < PAUSE else None


def _digest(place: Bootstrap) -> str:
    parts = ("infisical-config refused 1", place.address, place.client_id, place.client_secret)
    return sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def _temporary() -> str:
    others = os.environ.get("TEMP") or os.environ.get("TMP")
    if os.name == "posix" and not others and os.access("/tmp", os.W_OK | os.X_OK):
        return "/tmp"  # the result of tempfile, but its import takes longer than a request

    import tempfile

    return tempfile.gettempdir()


def is_own(directory: Path) -> bool:
    """Return whether only this user can use a directory; make it if it is missing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not hasattr(os, "geteuid"):
        return stat.S_ISDIR(found.st_mode)
    is_closed = not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_closed
