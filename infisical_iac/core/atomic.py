"""Write files atomically: a reader sees the old content or the new one, never a part."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infisical_iac.core.errors import FileError


def write(file: Path, text: str, *, mode: int | None = None) -> None:
    """Write a text to a file in one step, as UTF-8, and flush it to the disk.

    Args:
        mode: the file's permissions; None for the default of new files.

    Raises OSError, and leaves the file unchanged then. This is safe in a directory that others can
    write to: nobody can redirect the text to another file, or read it before it has its
    permissions.
    """
    new = prepare(file, text, mode=mode)
    try:
        new.replace(file)
        _sync(file.parent)
    finally:
        new.unlink(missing_ok=True)


def prepare(file: Path, text: str, *, mode: int | None = None) -> Path:
    """Write a text to a new file next to `file`, and return it: the caller renames or removes it.

    Arguments and errors are those of `write`.
    """
    # The name can't be guessed, and O_EXCL and O_NOFOLLOW refuse a prepared link.
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        opened = os.open(new, flags, mode or 0o666)
        with os.fdopen(opened, "w", encoding="utf-8", newline="") as stream:
            if mode is not None:
                os.fchmod(opened, mode)
            stream.write(text)
            stream.flush()
            os.fsync(opened)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new


@contextmanager
def explain_failure(file: Path) -> Iterator[None]:
    """Turn an OSError in this context into a FileError about `file`."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{file} can't be written: {error.strerror}") from None


def _sync(directory: Path) -> None:
    # Some file systems can't flush a directory. The file is written nevertheless.
    with suppress(OSError):
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
