"""Files that are there whole, the old one or the new one, whenever somebody looks."""

import os
from pathlib import Path


def write(file: Path, text: str, *, mode: int | None = None) -> None:
    """Put a text in UTF-8 at a path, in one step.

    Args:
        mode: the file's permissions; None for those that new files get.

    Raises OSError, and the file is as it was.
    """
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        new.write_text(text, encoding="utf-8")
        if mode is not None:
            new.chmod(mode)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
