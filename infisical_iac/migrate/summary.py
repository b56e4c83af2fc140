"""Findings as a person reads them: what must be decided first, and plain ones once a file."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from infisical_iac.migrate.model import FileFinding
from infisical_iac.migrate.plan_file import PlannedFinding

_ONCE_A_FILE = {
    "plain-configuration": (
        "look like configuration rather than secrets",
        "Keep them in the code or the compose file if nobody needs to hide them.",
    ),
    "not-in-sample": (
        "are not in the sample next to it",
        "Add their names there, or remove them here if nothing reads them.",
    ),
}
_NAMED = 10  # of the keys on one line


class SummaryLine(NamedTuple):
    """One line of a summary.

    Attributes:
        place: the file, with a line unless it is about the whole file or several lines.
        about: the kinds of finding, and the key that they are about.
        text: what is found, and the remedies.
    """

    place: str
    about: str
    text: str


def explain(found: Sequence[FileFinding] | Sequence[PlannedFinding]) -> str:
    """Return what findings on one key say, and then each remedy once."""
    kinds = {each.kind for each in found}
    # With the choice between grammars, that of defining a name is made too.
    covered = {"undefined-reference"} if "grammars-disagree" in kinds else set()
    messages = dict.fromkeys(each.message for each in found)
    remedies = dict.fromkeys(each.remedy for each in found if each.kind not in covered)
    return " ".join([*messages, *remedies])


def decisions(found: Iterable[FileFinding]) -> list[SummaryLine]:
    """Return what must be decided before the migration, a line for each key or file."""
    blocking = (each for each in found if each.blocking)
    groups = groupby(blocking, key=lambda each: (each.file, each.line, each.key))
    return [_line(list(group)) for _, group in groups]


def notes(found: Iterable[FileFinding]) -> list[SummaryLine]:
    """Return the other findings, those of the plain kinds as one line a file at its end."""
    alone: list[SummaryLine] = []
    plain: dict[tuple[str, str], list[FileFinding]] = {}
    for each in (one for one in found if not one.blocking):
        if each.kind in _ONCE_A_FILE:
            plain.setdefault((each.file, each.kind), []).append(each)
        else:
            alone.append(_line([each]))
    return [*alone, *(_once(file, kind, group) for (file, kind), group in plain.items())]


def _line(group: Sequence[FileFinding]) -> SummaryLine:
    first = group[0]
    place = f"{first.file}:{first.line}" if first.line else first.file
    kinds = ", ".join(dict.fromkeys(each.kind for each in group))
    return SummaryLine(place, f"{kinds} {first.key}".rstrip(), explain(group))


def _once(file: str, kind: str, group: Sequence[FileFinding]) -> SummaryLine:
    if len(group) == 1:
        return _line(group)
    message, remedy = _ONCE_A_FILE[kind]
    keys = list(dict.fromkeys(each.key or f"line {each.line}" for each in group))
    named = keys if len(keys) <= _NAMED else [*keys[:_NAMED], f"{len(keys) - _NAMED} more"]
    listed = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    return SummaryLine(file, kind, f"{listed} {message}. {remedy}")
