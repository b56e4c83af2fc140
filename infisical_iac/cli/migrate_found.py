"""Print what a search of histories found, as text and as JSON; never a value."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from infisical_iac.cli.output import counted
from infisical_iac.migrate.history import Commit, HistoryPlace, Hit, Searched, rotations
from infisical_iac.migrate.search_terms import SearchTerms


def lines(searched: Sequence[Searched], terms: SearchTerms, command: str) -> Iterator[str]:
    """All that was found, what was not looked for, and what to do, in lines for people."""
    for each in searched:
        yield f"{each.repository}: {each.objects:,} objects, {each.size / 1e6:,.1f} MB"
        for label, hits in groupby(each.hits, key=lambda hit: hit.label):
            yield f"  {label}"
            yield from (f"    {_where(hit)}, {hit.form}" for hit in hits)
    for label, reason in terms.skipped.items():
        yield f"Skipped {label}: {reason}"
    found = rotations(searched)
    yield f"{len(found)} of {counted(len(terms.searched), 'value')} found."
    if found:
        yield "To be rotated, before anything else:"
    for rotation in found:
        since = f"in history since {rotation.since}" if rotation.since else "in no commit"
        yield f"  {rotation.label}: {since}, {', '.join(rotation.repositories)}"
    if command:
        yield "Then, if the history has to be rewritten, in a fresh clone of each repository:"
        yield f"  {command}"


def as_data(searched: Sequence[Searched], terms: SearchTerms, command: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        "repositories": [
            {
                "path": str(each.repository),
                "objects": each.objects,
                "bytes": each.size,
                "hits": [_hit(hit) for hit in each.hits],
            }
            for each in searched
        ],
        "searched": terms.searched,
        "skipped": terms.skipped,
        "rotate": [
            {"label": each.label, "since": each.since, "repositories": each.repositories}
            for each in rotations(searched)
        ],
        "filter_repo": command,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    place = hit.place
    return {
        "label": hit.label,
        "form": hit.form,
        "kind": hit.kind,
        "path": hit.path,
        "objects": hit.objects,
        "commits": place.commits if place else 0,
        "first": _commit(place.first) if place else None,
        "last": _commit(place.last) if place else None,
    }


def _commit(commit: Commit) -> dict[str, str]:
    return {"commit": commit.name, "date": commit.date}


def _where(hit: Hit) -> str:
    if hit.kind == "tag":
        return f"message of a tag ({_short(hit.objects)})"
    if hit.place is None:
        return f"{hit.kind} in no commit ({_short(hit.objects)})"
    if hit.kind == "commit":
        return f"message in {_span(hit.place)}"
    if hit.kind == "file name":
        return f"name of a file in {hit.path or 'the root'}, in {_span(hit.place)}"
    return f"{hit.path}, in {_span(hit.place)}"


def _span(place: HistoryPlace) -> str:
    first, last = (f"{each.name[:12]} ({each.date})" for each in (place.first, place.last))
    return (
        f"commit {first}" if place.commits == 1 else f"{place.commits} commits, {first} to {last}"
    )


def _short(objects: Sequence[str]) -> str:
    more = f" and {len(objects) - 3} more" if len(objects) > 3 else ""
    return f"object {', '.join(name[:12] for name in objects[:3])}{more}"
