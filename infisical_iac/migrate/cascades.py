"""Loaders that read several files of a directory by mode, and which of them count for one file."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Protocol

from infisical_iac.dotenv import all_grammars
from infisical_iac.dotenv.grammar import Cascade
from infisical_iac.migrate import find

CASCADES: Mapping[str, tuple[str, Cascade]] = {
    name: (each.name, cascade) for each in all_grammars() for name, cascade in each.cascades.items()
}
"""By name, each with the name of its grammar: a file that is read by another is read alone."""

LOCAL = ".env.local"
"""Read in every mode, but of the machine that it is on."""


class Read(Protocol):
    """A file as a scan or a plan has it."""

    @property
    def path(self) -> str:
        """Relative to the root, with slashes."""

    @property
    def environment(self) -> str:
        """Return the slug, or ""."""

    @property
    def grammar(self) -> str:
        """Return one of `infisical_iac.dotenv.GRAMMARS`."""

    @property
    def loader(self) -> str:
        """Return one of CASCADES, or ""."""


def cascade(file: Read) -> Cascade | None:
    """Return what reads the file with others, if its loader does."""
    grammar, found = CASCADES.get(file.loader, ("", None))
    return found if grammar == file.grammar else None


def is_read(loader: str, name: str) -> bool:
    """Return whether a loader reads a file of this name, though others take it for a sample."""
    return loader in CASCADES and name in CASCADES[loader][1].files


def is_of_every_mode(file: Read) -> bool:
    """Return whether its loader reads the file whatever the mode."""
    found = cascade(file)
    return found is not None and posixpath.basename(file.path) in found.files


def mode(file: Read) -> str:
    """Return the mode in which a file is read: that of its name, or else of its environment."""
    name = posixpath.basename(file.path)
    if name.startswith(".env.") and not is_of_every_mode(file):
        return name.removeprefix(".env.").removesuffix(".local")
    return find.mode(file.environment)


def layers(files: Iterable[Read]) -> dict[str, tuple[str, ...]]:
    """Return the names of the files that are read with each file, itself among them, by its path.

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
