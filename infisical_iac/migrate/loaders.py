"""Decide which loader reads a file today, and so by which grammar it must be read here."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infisical_iac.dotenv import GRAMMARS, all_grammars
from infisical_iac.migrate import compose_files, packages, scripts
from infisical_iac.migrate.evidence import Sign, Text, upwards
from infisical_iac.migrate.find import is_env

UNKNOWN = Sign(GRAMMARS[0], "nothing says what reads it, so it is read as npm dotenv does", False)


@dataclass(frozen=True)
class Choice:
    """The sign that counts for a file.

    Attributes:
        others: the grammars that are plausible too; where they read something else than the
            sign's, a person must decide.
        readers: the names that compose files give to the containers that read it.
    """

    sign: Sign
    others: tuple[str, ...]
    readers: tuple[str, ...]


class Signs:
    """Hold what the files of a tree say about who reads its `.env` files."""

    def __init__(self, paths: Sequence[str], text: Text) -> None:
        """Look at the files in `paths`, relative to the root, each read by `text`."""
        env_files = {path for path in paths if is_env(posixpath.basename(path))}
        self._packages = packages.by_directory(paths, text)
        named = (*compose_files.signs(paths, text), *scripts.signs(paths, text, env_files))
        self._named = _grouped(named)
        self._beside = _grouped(compose_files.beside(paths, text))

    def choose(self, path: str) -> Choice:
        """Return the grammar of one file.

        What names this very file comes first, then the packages of the nearest directory above
        it that has a loader, then a compose file beside it; without any of these, packages below.
        The first sign counts; the grammars of the others are plausible, and all are if nothing is
        sure.
        """
        signs = list(self._signs(path)) or list(self._below(path))
        sign = signs[0] if signs else UNKNOWN
        grammars = [each.grammar for each in signs] if sign.exact else GRAMMARS
        others = tuple(dict.fromkeys(each for each in grammars if each != sign.grammar))
        return Choice(sign, others, tuple(each.reader for each in signs if each.reader))

    def _signs(self, path: str) -> Iterator[Sign]:
        directory, name = posixpath.split(path)
        for grammar in all_grammars():
            for beginning, why in grammar.file_names.items():
                if name.startswith(beginning):
                    yield Sign(grammar.name, why)
        yield from self._named.get(path, ())
        above = (self._packages[each] for each in upwards(directory) if each in self._packages)
        yield from next(above, ())
        yield from self._beside.get(path, ())

    def _below(self, path: str) -> Iterator[Sign]:
        inside = path.removesuffix(posixpath.basename(path))
        for place, signs in self._packages.items():
            if place.startswith(inside):
                yield from signs


def _grouped(signs: Iterable[tuple[str, Sign]]) -> dict[str, list[Sign]]:
    grouped: dict[str, list[Sign]] = {}
    for path, sign in signs:
        grouped.setdefault(path, []).append(sign)
    return grouped
