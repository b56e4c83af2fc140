"""Files that are there whole, the old one or the new one, whenever somebody looks."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infisical_iac.core.errors import FileError


def write(file: Path, text: str, *, mode: int | None = None) -> None:
    """Put a text in UTF-8 at a path, in one step; it is on the disk when this returns.

    Args:
        mode: the file's permissions; None for those that new files get.

    Raises OSError, and the file is as it was. In a directory that others may write to, nobody can
    have the text written elsewhere, or read it before it has its permissions.
    """
    # A name that nobody can foresee, and that no link may have taken.
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(new, flags, mode or 0o666), "w", encoding="utf-8") as opened:
            if mode is not None:
                os.fchmod(opened.fileno(), mode)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
        _sync(file.parent)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def explain_failure(file: Path) -> Iterator[None]:
    """Write a file in this context: it raises FileError where that can't be done."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{file} can't be written: {error.strerror}") from None


def _sync(directory: Path) -> None:
    # Some file systems can't, and the file is in its place all the same.
    with suppress(OSError):
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
