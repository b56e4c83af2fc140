"""Decide which loader reads a file today, and so by which grammar it must be read here."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infisical_iac.dotenv import GRAMMARS, all_grammars
from infisical_iac.migrate import compose_files, packages, scripts
from infisical_iac.migrate.evidence import Evidence, Text, upwards
from infisical_iac.migrate.find import is_env

UNKNOWN = Evidence(
    GRAMMARS[0], "nothing says what reads it, so it is read as npm dotenv does", False
)


@dataclass(frozen=True)
class Choice:
    """The evidence that counts for a file.

    Attributes:
        others: the grammars that are plausible too; where they read something else than
            evidence's, a person must decide.
        readers: the names that compose files give to the containers that read it.
    """

    evidence: Evidence
    others: tuple[str, ...]
    readers: tuple[str, ...]


class LoaderDetection:
    """Hold what the files of a tree say about who reads its `.env` files."""

    def __init__(self, paths: Sequence[str], text: Text) -> None:
        """Look at the files in `paths`, relative to the root, each read by `text`."""
        env_files = {path for path in paths if is_env(posixpath.basename(path))}
        self._packages = packages.evidence_by_directory(paths, text)
        named = (
            *compose_files.in_compose_files(paths, text),
            *scripts.in_scripts(paths, text, env_files),
        )
        self._named = _grouped(named)
        self._beside = _grouped(compose_files.beside_compose_files(paths, text))

    def choose(self, path: str) -> Choice:
        """Return the grammar of one file.

        What names this very file comes first, then the packages of the nearest directory above
        it that has a loader, then a compose file beside it; without any of these, packages below.
        The first one counts; the grammars of the others are plausible, and all are if nothing is
        sure.
        """
        found = list(self._found_for(path)) or list(self._below(path))
        evidence = found[0] if found else UNKNOWN
        grammars = [each.grammar for each in found] if evidence.exact else GRAMMARS
        others = tuple(dict.fromkeys(each for each in grammars if each != evidence.grammar))
        return Choice(evidence, others, tuple(each.reader for each in found if each.reader))

    def _found_for(self, path: str) -> Iterator[Evidence]:
        directory, name = posixpath.split(path)
        for grammar in all_grammars():
            for beginning, why in grammar.file_names.items():
                if name.startswith(beginning):
                    yield Evidence(grammar.name, why)
        yield from self._named.get(path, ())
        above = (self._packages[each] for each in upwards(directory) if each in self._packages)
        yield from next(above, ())
        yield from self._beside.get(path, ())

    def _below(self, path: str) -> Iterator[Evidence]:
        inside = path.removesuffix(posixpath.basename(path))
        for place, found in self._packages.items():
            if place.startswith(inside):
                yield from found


def _grouped(found: Iterable[tuple[str, Evidence]]) -> dict[str, list[Evidence]]:
    grouped: dict[str, list[Evidence]] = {}
    for path, evidence in found:
        grouped.setdefault(path, []).append(evidence)
    return grouped
