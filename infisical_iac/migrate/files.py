"""Files of a tree that others wrote: read with care, and never outside of it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

Content = Callable[[str], tuple[bytes, str]]
"""What `content` tells of a path under one root."""

_LONGEST_TEXT = 8 << 20


def content(root: Path, path: str) -> tuple[bytes, str]:
    """The bytes of a file under `root`, or why they can't be read; one of both is empty."""
    file = root / path
    try:
        # Path.resolve raises no OSError for a link that leads to itself, before Python 3.13.
        if not Path(os.path.realpath(file, strict=True)).is_relative_to(root.resolve()):
            return b"", "It is a link to a place outside of what is scanned."
        if not stat.S_ISREG(file.stat().st_mode):
            return b"", "It is no regular file, but a pipe or the like."
        return file.read_bytes(), ""
    except OSError as error:
        return b"", f"It can't be read: {error.strerror}."


def text(root: Path, path: str) -> str:
    """The text of a file, its first 8 MiB; "" for what can't be read, which then says nothing."""
    try:
        with (root / path).open("rb") as opened:
            return opened.read(_LONGEST_TEXT).decode(errors="replace")
    except OSError:
        return ""
