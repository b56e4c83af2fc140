"""A sign: what a file of the repository says about who reads an `.env` file."""

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# The text of a file, by its path relative to the scanned directory.
Text = Callable[[str], str]


@dataclass(frozen=True)
class Evidence:
    """A loader, as a file of the repository shows it.

    Attributes:
        grammar: how it reads, or the nearest to it.
        why: the sentence that says so.
        exact: whether it reads just by that grammar; some loaders have rules of their own.
        reader: the name that a compose file gives to the container that reads it.
        loader: one of `cascades.CASCADES` if it reads several files by mode, or "".
    """

    grammar: str
    why: str
    exact: bool = True
    reader: str = ""
    loader: str = ""


def upwards(directory: str) -> Iterator[str]:
    """A directory and all that it is in, the nearest first; the root is ""."""
    while directory:
        yield directory
        directory = posixpath.dirname(directory)
    yield ""
