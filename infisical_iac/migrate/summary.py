"""Group findings into lines for people: decisions first, repetitive ones once a file or scan."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from infisical_iac.core.wording import join_first
from infisical_iac.migrate.comparison import PERSONAL_CONFLICT
from infisical_iac.migrate.model import FileFinding, Source
from infisical_iac.migrate.plan_file import PlannedFinding

PERSONAL_FILE = "personal-file"
_ONCE_A_FILE = {
    "bootstrap-key": (
        "are what a service reaches Infisical with, so they are not moved there",
        "Leave them in the process's environment, or in .env.local.",
    ),
    "plain-configuration": (
        "look like configuration rather than secrets",
        "Keep them in the code or the compose file if nobody needs to hide them.",
    ),
    "not-in-sample": (
        "are not in the sample next to it",
        "Add their names there, or remove them here if nothing reads them.",
    ),
}
_DIFFERING = "differs-across-services"  # most services have databases and keys of their own
_SHARED = "shared-candidate"
_NAMED = 10  # keys on one line
_NAMED_FILES = 3


class SummaryLine(NamedTuple):
    """One line of a summary.

    Attributes:
        place: the file, with a line unless it is about the whole file or several lines.
        about: the kinds of the findings, and their key.
        text: the messages, then the remedies.
        remedy: the end of the text that other lines may share; "" for none.
    """

    place: str
    about: str
    text: str
    remedy: str = ""


def explain(found: Sequence[FileFinding] | Sequence[PlannedFinding]) -> str:
    """Return the messages of findings on one key, then their remedies, each sentence once."""
    kinds = {each.kind for each in found}
    # The choice between grammars includes that of defining the name.
    covered = {"undefined-reference"} if "grammars-disagree" in kinds else set()
    messages = dict.fromkeys(each.message for each in found)
    remedies = dict.fromkeys(each.remedy for each in found if each.kind not in covered)
    return " ".join([*messages, *remedies])


def describe_personal_file(message: str, conflicts: int) -> str:
    """Return the message on a personal file, with the number of keys that wait for its decision."""
    have = "has" if conflicts == 1 else "have"
    more = f" {conflicts} of them {have} another value in a shared file." if conflicts else ""
    return f"{message}{more}"


def fold_conflicts(found: Sequence[FileFinding]) -> list[FileFinding]:
    """Return the findings on a file, with conflicts merged into that on the personal file."""
    conflicts = sum(each.kind == PERSONAL_CONFLICT for each in found)
    return [
        replace(each, message=describe_personal_file(each.message, conflicts))
        if each.kind == PERSONAL_FILE
        else each
        for each in found
        if each.kind != PERSONAL_CONFLICT
    ]


def decisions(found: Iterable[FileFinding]) -> list[SummaryLine]:
    """Return the decisions to make before the migration, a line for each key or file."""
    blocking = (each for each in found if each.blocking)
    groups = groupby(blocking, key=lambda each: (each.file, each.line, each.key))
    return [_line(list(group)) for _, group in groups]


def notes(found: Iterable[FileFinding]) -> list[SummaryLine]:
    """Return the other findings of a file; some kinds are one line each, at its end.

    Findings in `differences` and `list_shared` are left out.
    """
    single: list[SummaryLine] = []
    grouped: dict[tuple[str, str], list[FileFinding]] = {}
    for each in (one for one in found if not one.blocking):
        if each.kind in (_DIFFERING, _SHARED):
            continue
        if each.kind in _ONCE_A_FILE:
            grouped.setdefault((each.file, each.kind), []).append(each)
        else:
            single.append(_line([each]))
    return [*single, *(_once(file, kind, group) for (file, kind), group in grouped.items())]


def group(lines: Iterable[SummaryLine]) -> tuple[list[SummaryLine], dict[str, list[str]]]:
    """Return notes with equal ones as one line, and the remedies that several lines share.

    A shared remedy is not repeated in its lines. It comes with the kinds of their findings.
    """
    places: dict[SummaryLine, list[str]] = {}
    for line in lines:
        places.setdefault(line._replace(place=""), []).append(line.place)
    merged = [_merge(line, there) for line, there in places.items()]
    counts = Counter(line.remedy for line in merged if line.remedy)
    common: dict[str, list[str]] = {}
    for line in merged:
        if counts[line.remedy] > 1:
            kinds, kind = common.setdefault(line.remedy, []), line.about.partition(" ")[0]
            kinds.extend([kind] if kind not in kinds else [])
    return [
        line._replace(text=line.text.removesuffix(line.remedy).rstrip())
        if line.remedy in common
        else line
        for line in merged
    ], common


def _merge(line: SummaryLine, places: Sequence[str]) -> SummaryLine:
    if len(places) > 1:
        for one, several in _OF_SEVERAL.get(line.about, {}).items():
            text, remedy = (each.replace(one, several) for each in (line.text, line.remedy))
            line = line._replace(text=text, remedy=remedy)
    return line._replace(place=join_first(places, _NAMED))


# The words for one file in notes that several files may have, and those for several.
_OF_SEVERAL = {
    "tracked": {
        "Git tracks it: its": "Git tracks these files: their",
        "takes the file out": "takes the files out",
    },
    "nearest-grammar": {
        "that reads it is unknown or has its": "that reads them is unknown or has its",
        "it is read as": "they are read as",
    },
    "migrated-file": {"Its secrets": "Their secrets", "Delete it, once its": "Delete them, once a"},
}


def differences(found: Iterable[FileFinding]) -> list[SummaryLine]:
    """Return one line on all keys that differ between services, none if no key does."""
    differing = [each for each in found if each.kind == _DIFFERING]
    if not differing:
        return []
    files = dict.fromkeys(each.file for each in differing)
    keys = dict.fromkeys(each.key or f"line {each.line} of {each.file}" for each in differing)
    verb = "differs" if len(keys) == 1 else "differ"
    text = (
        f"{join_first(keys, _NAMED)} {verb} between services. That is right where each service has "
        "its own; make what they share one value in a shared folder."
    )
    return [SummaryLine(join_first(files, _NAMED_FILES), _DIFFERING, text)]


def list_shared(sources: Iterable[Source]) -> list[SummaryLine]:
    """Return the keys that have one value in several services, a line for each group of files.

    The remedy is on the last line.
    """
    files: dict[tuple[str, str], list[str]] = {}
    remedy = ""
    for source in sources:
        for each in source.findings:
            if each.kind == _SHARED:
                key = each.key or f"line {each.line} of {each.file}"
                files.setdefault((source.environment, key), []).append(each.file)
                remedy = each.remedy
    groups: dict[tuple[str, ...], list[str]] = {}
    for (_, key), places in files.items():
        groups.setdefault(tuple(places), []).append(key)
    lines = [
        SummaryLine(
            join_first(places, _NAMED_FILES),
            _SHARED,
            f"{join_first(keys, _NAMED)} {'has' if len(keys) == 1 else 'have'} the same value in "
            "these files.",
        )
        for places, keys in groups.items()
    ]
    return [*lines[:-1], *(each._replace(text=f"{each.text} {remedy}") for each in lines[-1:])]


def _line(group: Sequence[FileFinding]) -> SummaryLine:
    first = group[0]
    place = f"{first.file}:{first.line}" if first.line else first.file
    kinds = ", ".join(dict.fromkeys(each.kind for each in group))
    remedy = first.remedy if len(group) == 1 else ""
    return SummaryLine(place, f"{kinds} {first.key}".rstrip(), explain(group), remedy)


def _once(file: str, kind: str, group: Sequence[FileFinding]) -> SummaryLine:
    if len(group) == 1:
        return _line(group)
    message, remedy = _ONCE_A_FILE[kind]
    keys = dict.fromkeys(each.key or f"line {each.line}" for each in group)
    return SummaryLine(file, kind, f"{join_first(keys, _NAMED)} {message}. {remedy}", remedy)
