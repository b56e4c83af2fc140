"""Note a credential that Infisical refused, so that restarts don't try it again."""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .fallback import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bootstrap import Bootstrap
    from .cache import Cache

_VERSION = 1
# Seconds for which a refused credential is not tried again.
_PAUSE: Final = 600


class Refusals:
    """The note of a refused credential in a file.

    It is next to the cache, or in this user's own directory among the temporary files.
    """

    def __init__(self, place: Bootstrap, environ: Mapping[str, str], cache: Cache | None) -> None:
        self._place = place
        self._directory: Path | None = None
        if cache:
            self._file = Path(f"{os.fspath(cache.file)}.refused")
            return
        own = f"infisical-config-{os.geteuid()}" if hasattr(os, "geteuid") else "infisical-config"
        self._directory = Path(environ.get("TMPDIR") or _temporary(), own)
        self._file = self._directory / f"{_digest(place)[:16]}.refused"

    def check(self) -> None:
        """Raise ConfigError `refused_before` for a credential that was refused recently."""
        try:
            text = self._file.read_bytes()
        except OSError:
            return
        age = age_of(text, self._place, time.time())
        if age is not None:
            ago, left = words(age), words(_PAUSE - age)
            raise self._place.error("refused_before", ago=ago, left=left, file=self._file)

    def add(self) -> None:
        """Note that the credential was refused. Without a place for it, a restart asks again."""
        import tempfile

        with suppress(OSError):
            if self._directory and not is_own(self._directory):
                return
            handle, new = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}.")
            try:
                with open(handle, "w", encoding="ascii") as stream:
                    stream.write(note(self._place, time.time()))
                os.replace(new, self._file)
            except OSError:
                os.unlink(new)
                raise


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
    return age if 0 <= age < _PAUSE else None


def _digest(place: Bootstrap) -> str:
    parts = ("infisical-config refused 1", place.address, place.client_id, place.client_secret)
    return sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def _temporary() -> str:
    others = os.environ.get("TEMP") or os.environ.get("TMP")
    if os.name == "posix" and not others and os.access("/tmp", os.W_OK | os.X_OK):
        return "/tmp"  # as tempfile finds, whose import takes longer than a request

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
