"""Group the findings of a check into lines for people: one for each cause, and its remedy once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from infisical_iac.check.model import Cause, CheckFinding

_NAMED = 10  # of the keys on one line


class CauseLine(NamedTuple):
    """One line of a summary, and the remedy that follows it, or follows all lines."""

    finding: CheckFinding
    text: str
    remedy: str = ""


def summarize(found: Iterable[CheckFinding]) -> tuple[list[CauseLine], dict[str, list[str]]]:
    """Return the lines, and the remedies of several lines, each with the kinds of these.

    Lines have no remedy that several of them have.
    """
    groups: dict[object, list[CheckFinding]] = {}
    for number, one in enumerate(found):
        shared = (one.kind, one.cause, one.is_note) if one.cause and one.cause.text else number
        groups.setdefault(shared, []).append(one)
    lines = [_line(group) for group in groups.values()]
    counts = Counter(line.remedy for line in lines if line.remedy)
    common: dict[str, list[str]] = {}
    for line in lines:
        if counts[line.remedy] > 1 and line.finding.kind not in common.get(line.remedy, ()):
            common.setdefault(line.remedy, []).append(line.finding.kind)
    return [
        line if line.remedy in common or not line.remedy else _with_remedy(line) for line in lines
    ], common


def _with_remedy(line: CauseLine) -> CauseLine:
    return line._replace(text=f"{line.text} {line.remedy}")


def _line(group: Sequence[CheckFinding]) -> CauseLine:
    first = group[0]
    if first.cause is None:
        return CauseLine(first, first.message)
    if len(group) == 1:
        text = first.message.removesuffix(first.cause.remedy).rstrip()
        return CauseLine(first, text, first.cause.remedy)
    named = ", ".join(_name(each, first.cause) for each in group[:_NAMED])
    more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
    text = f"{first.cause.text.format(count=len(group))}: {named}{more}."
    merged = CheckFinding(first.kind, first.cause.place, "", text, first.is_note)
    return CauseLine(merged, text, first.cause.remedy)


def _name(found: CheckFinding, cause: Cause) -> str:
    place = found.place
    if place.startswith(f"{cause.place}:"):
        place = f"line {place.removeprefix(f'{cause.place}:')}"
    return f"{found.key} ({place})"
