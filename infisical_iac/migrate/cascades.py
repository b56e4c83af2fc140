"""Loaders that read several files of a directory by mode, and which of them count for one file."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Protocol

from infisical_iac.migrate import find

Merging = Literal["in-turn", "together", "as-written"]
"""How references see the other files.

    in-turn      the file that wins is read first, and each sees what was read before it
    together     all are merged, then replaced, so that each sees all
    as-written   nothing is replaced
"""


class Cascade(NamedTuple):
    """A loader's files, of which a later one wins, and its modes; without any it has all.

    `grammar` is the one by which it reads: a file that is read by another is read alone.
    `parser` is the one before references are replaced, where files are read together.
    """

    title: str
    grammar: str
    files: tuple[str, ...]
    merging: Merging
    modes: tuple[str, ...] = ()
    parser: str = "dotenv"

    def names(self, mode: str) -> list[str]:
        """The names of its files in a mode, of which a later one wins."""
        return [each.format(mode=mode) for each in self.files]


_MODE_FIRST = (".env", ".env.{mode}", ".env.local", ".env.{mode}.local")
_LOCAL_FIRST = (".env", ".env.local", ".env.{mode}", ".env.{mode}.local")
_OF_NODE_ENV = ("development", "production", "test")

CASCADES: Mapping[str, Cascade] = {
    "next": Cascade("Next.js", "next", _MODE_FIRST, "in-turn", _OF_NODE_ENV),
    "react-scripts": Cascade(
        "react-scripts", "dotenv-expand", _MODE_FIRST, "in-turn", _OF_NODE_ENV
    ),
    "vite": Cascade("Vite", "dotenv-expand", _LOCAL_FIRST, "together"),
    "vite-8": Cascade("Vite", "dotenv-expand", _LOCAL_FIRST, "together", parser="node-env-file"),
    "dotenv-flow": Cascade("dotenv-flow", "dotenv", (".env.defaults", *_LOCAL_FIRST), "as-written"),
}

LOCAL = ".env.local"
"""Read in every mode, but of the machine that it is on."""


class Read(Protocol):
    """A file as a scan or a plan has it."""

    @property
    def path(self) -> str:
        """Relative to the root, with slashes."""

    @property
    def environment(self) -> str:
        """The slug, or ""."""

    @property
    def grammar(self) -> str:
        """One of `infisical_iac.dotenv.GRAMMARS`."""

    @property
    def loader(self) -> str:
        """One of CASCADES, or ""."""


def cascade(file: Read) -> Cascade | None:
    """Return what reads the file with others, if its loader does."""
    found = CASCADES.get(file.loader)
    return found if found and found.grammar == file.grammar else None


def is_read(loader: str, name: str) -> bool:
    """Return whether a loader reads a file of this name, though others take it for a sample."""
    return loader in CASCADES and name in CASCADES[loader].files


def is_of_every_mode(file: Read) -> bool:
    """Return whether its loader reads the file whatever the mode."""
    found = cascade(file)
    return found is not None and posixpath.basename(file.path) in found.files


def mode(file: Read) -> str:
    """The mode in which a file is read: that of its name, or else of its environment."""
    name = posixpath.basename(file.path)
    if name.startswith(".env.") and not is_of_every_mode(file):
        return name.removeprefix(".env.").removesuffix(".local")
    return find.mode(file.environment)


def layers(files: Iterable[Read]) -> dict[str, tuple[str, ...]]:
    """The names of the files that are read with each file, itself among them, by its path.

    The last one wins. They are of one directory, one loader and the file's mode; there are none
    for a file that is read alone. A `.env.local` counts for its own environment only, as it is
    not where others run.
    """
    beside: dict[tuple[str, str], list[Read]] = {}
    for each in files:
        beside.setdefault((posixpath.dirname(each.path), each.loader), []).append(each)
    return {each.path: _layers(each, group) for group in beside.values() for each in group}


def _layers(file: Read, group: Iterable[Read]) -> tuple[str, ...]:
    found = cascade(file)
    if not found:
        return ()
    there = {
        posixpath.basename(each.path)
        for each in group
        if cascade(each) == found
        if posixpath.basename(each.path) != LOCAL or each.environment == file.environment
    }
    read = tuple(name for name in found.names(mode(file)) if name in there)
    return read if posixpath.basename(file.path) in read else ()
