"""Files that are there whole, the old one or the new one, whenever somebody looks."""

import os
from contextlib import suppress
from pathlib import Path


def write(file: Path, text: str, *, mode: int | None = None) -> None:
    """Put a text in UTF-8 at a path, in one step; it is on the disk when this returns.

    Args:
        mode: the file's permissions; None for those that new files get.

    Raises OSError, and the file is as it was.
    """
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with new.open("w", encoding="utf-8") as opened:
            if mode is not None:
                new.chmod(mode)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
        _sync(file.parent)
    finally:
        new.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    # Some file systems can't, and the file is in its place all the same.
    with suppress(OSError):
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
