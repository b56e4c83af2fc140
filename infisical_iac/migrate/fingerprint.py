"""Keyed hashes that identify values without showing them; the key stays next to the plan."""

import hmac
import os
import secrets
from pathlib import Path

from infisical_iac.core.errors import FileError

KEY_FILE = "migration.key"

_BYTES = 32
_SHOWN = 12


def load_or_make(path: Path) -> bytes:
    """Return the key in `path`, 32 bytes that only its owner can read; create it if missing.

    With the key, a short secret could be found from its hash by trying. So the key goes neither
    into git nor to the readers of the plan.

    Raises FileError if it can't be read or made, is of another size, or others can read it.
    """
    try:
        if not path.exists():
            _make(path)
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise FileError(
            f"{path} can't be made or read: {error.strerror}", code="file.plan_key"
        ) from None
    if len(key) != _BYTES:
        raise FileError(
            f"{path} is not a key of {_BYTES} bytes: remove it and plan again",
            code="file.plan_key_size",
        )
    if mode & 0o077:
        raise FileError(
            f"{path} can be read by others: run `chmod 600 {path}`", code="file.plan_key_mode"
        )
    return key


def _make(path: Path) -> None:
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        # A link, unlike a rename, keeps the key that a faster run has made.
        path.hardlink_to(new)
    except FileExistsError:
        pass
    finally:
        new.unlink(missing_ok=True)


def digest(key: bytes, value: str) -> str:
    """Return the first 12 hex digits of the HMAC-SHA-256 of a value in UTF-8."""
    return hmac.digest(key, encode(value), "sha256").hex()[:_SHOWN]


def of_bytes(key: bytes, data: bytes) -> str:
    """Return the hex HMAC-SHA-256 of a file's bytes; a plain hash would reveal short secrets."""
    return hmac.digest(key, data, "sha256").hex()


def encode(value: str) -> bytes:
    """Return a value in UTF-8, as it is compared, measured and sent."""
    return value.encode("utf-8", errors="surrogateescape")
