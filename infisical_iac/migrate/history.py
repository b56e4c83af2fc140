"""The search of a git repository, in all its objects, for known values."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from infisical_iac.migrate.gitobjects import objects
from infisical_iac.migrate.gitplaces import At, Place, places
from infisical_iac.migrate.search_terms import Match, SearchTerms

Kind = Literal["file", "file name", "commit", "tag"]

_KINDS: dict[str, Kind] = {"blob": "file", "tree": "file name", "commit": "commit", "tag": "tag"}


@dataclass(frozen=True)
class Hit:
    """A value that is in the history, in one form, under one path.

    Attributes:
        label: which value it is.
        form: how it is written there.
        kind: where: in a file, in the name of one, in a commit's or a tag's message.
        path: of the file, or of the folder with the file's name; empty if it has none.
        objects: hashes of the objects that hold it.
        place: the commits that hold it; None if none leads to it.
    """

    label: str
    form: str
    kind: Kind
    path: str
    objects: tuple[str, ...]
    place: Place | None


@dataclass(frozen=True)
class Searched:
    """A repository that was searched: how many objects and bytes, and what was found."""

    repository: Path
    objects: int
    size: int
    hits: list[Hit]


def search(repository: Path, terms: SearchTerms) -> Searched:
    """Search every object of a repository: reachable or not, loose or packed.

    Hits come in the order of labels, then paths. Raises GitError if the repository can't be
    read whole.
    """
    count = size = 0
    commits: set[str] = set()
    holders: dict[str, tuple[Kind, set[Match]]] = {}
    for each in objects(repository):
        count, size = count + 1, size + each.size
        if each.kind == "commit":
            commits.add(each.name)
        if found := terms.search(each.chunks):
            holders[each.name] = (_KINDS[each.kind], found)
    where = places(repository, holders.keys(), commits) if holders else {}
    return Searched(repository, count, size, _joined(_hits(holders, where, terms)))


def _hits(
    holders: dict[str, tuple[Kind, set[Match]]], where: dict[At, Place], terms: SearchTerms
) -> Iterator[Hit]:
    nowhere = holders.keys() - {name for name, _ in where}
    for (name, path), place in (*where.items(), *(((name, ""), None) for name in nowhere)):
        kind, found = holders[name]
        masked = bool(terms.search([path.encode()]))
        shown = f"(object {name[:12]}, in a path that holds a value)" if masked else path
        for each in found:
            yield Hit(each.label, each.form, kind, shown, (name,), place)


def _joined(hits: Iterator[Hit]) -> list[Hit]:
    """The hits, those that differ in their objects only made one."""
    joined: dict[tuple[str, str, str, str, bool], Hit] = {}
    for hit in hits:
        key = (hit.label, hit.path, hit.kind, hit.form, hit.place is None)
        if before := joined.get(key):
            both = before.place | hit.place if before.place and hit.place else None
            hit = replace(before, objects=(*before.objects, *hit.objects), place=both)
        joined[key] = hit
    return [joined[key] for key in sorted(joined)]
