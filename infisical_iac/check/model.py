"""Findings of a check, and the keys that code reads. Neither holds a value."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from infisical_iac.core.errors import FileError
from infisical_iac.workspace.document import parse

# docs/develop/check.md has a row for each.
Kind = Literal[
    "secret-in-file",
    "migrated-file",
    "in-env-local",
    "override",
    "unreadable-file",
    "encrypted-file",
    "tracked",
    "not-ignored",
    "no-service",
    "no-loader",
    "no-package",
    "no-local-file",
    "local-file",
    "missing-key",
    "empty-environment",
    "empty-folder",
    "not-seen",
    "left-over",
    "old-value",
    "equal-value",
    "weak-value",
    "not-read",
    "uneven-key",
    "values-hidden",
    "sample-file",
    "unused-rule",
    "optional",
    "dynamic-read",
    "not-checked",
    "unused-exception",
]


class Cause(NamedTuple):
    """A cause that several findings share, which is printed once for all of them.

    Attributes:
        place: the file or service. Findings with the same kind, place and text share one line.
        text: the message for several findings, with `{count}` for their number.
        remedy: the last sentence of each finding's message.
    """

    place: str
    text: str
    remedy: str


@dataclass(frozen=True)
class CheckFinding:
    """A problem in a repository or in Infisical, or a note that a person should know.

    Attributes:
        place: a path, with a line if there is one, or a folder of Infisical.
        key: the name of the key that the finding is about, or "".
        message: the problem and the remedy, in sentences.
        is_note: whether the finding only informs.
        cause: the cause that other findings may share; None if none can.
    """

    kind: Kind
    place: str
    key: str
    message: str
    is_note: bool = False
    cause: Cause | None = None


class Read(NamedTuple):
    """A place where code reads a key; optional if the code has a default or tests for the key."""

    key: str
    line: int
    is_optional: bool = False


@dataclass
class Reads:
    """The keys that one file reads.

    Attributes:
        dynamic: the lines that read a key by a name that is only known when the code runs.
        error: the reason why the file can't be parsed in full, or "".
    """

    found: list[Read] = field(default_factory=list)
    dynamic: list[int] = field(default_factory=list)
    error: str = ""


NAME = ".infisical-check.yaml"


class Judged(NamedTuple):
    """The findings that count, and the accepted findings with their reasons."""

    findings: list[CheckFinding]
    accepted: list[tuple[CheckFinding, str]]


def load(text: str, where: str) -> dict[str, str]:
    """Return the reason of each accepted pattern. Raises FileError for a text in another form."""
    data = parse(text, where).data or {}
    ignored = data.get("ignore") if isinstance(data, dict) else None
    if data and (not isinstance(ignored, dict) or set(data) != {"ignore"}):
        raise FileError(
            f"{where} must hold only `ignore:`, with `PATTERN: reason` below it",
            code="file.exceptions",
        )
    for pattern, reason in (ignored or {}).items():
        if not isinstance(pattern, str) or not isinstance(reason, str) or not reason.strip():
            raise FileError(
                f"{where}: {pattern} has no reason: write why it is accepted",
                code="file.no_reason",
            )
    return dict(ignored or {})


def judge(findings: Iterable[CheckFinding], reasons: dict[str, str], where: str) -> Judged:
    """Accept the findings whose key, path or place matches a pattern such as `/backend/*`.

    Notes are never accepted. A pattern without a match is reported by a note: later it might hide a
    finding that nobody has accepted.
    """
    counting: list[CheckFinding] = []
    accepted: list[tuple[CheckFinding, str]] = []
    fitting: set[str] = set()
    for each in findings:
        patterns = [] if each.is_note else [p for p in reasons if _fits(p, each)]
        fitting.update(patterns)
        if patterns:
            accepted.append((each, reasons[patterns[0]]))
        else:
            counting.append(each)
    for pattern in sorted(reasons.keys() - fitting):
        message = f"{pattern} matches no finding: delete it."
        counting.append(CheckFinding("unused-exception", where, "", message, is_note=True))
    return Judged(counting, accepted)


def _fits(pattern: str, finding: CheckFinding) -> bool:
    path = finding.place.rpartition(":")[0] or finding.place
    return any(fnmatchcase(name, pattern) for name in (finding.key, path) if name)


_NAMED = 10  # the most keys that one line names


class CauseLine(NamedTuple):
    """One line of a summary. Its remedy follows it, or follows all lines if several share it."""

    finding: CheckFinding
    text: str
    remedy: str = ""


def summarize(found: Iterable[CheckFinding]) -> tuple[list[CauseLine], dict[str, list[str]]]:
    """Return one line for each cause, and the remedies that several lines share.

    A shared remedy is not repeated in its lines. It comes with the kinds of their findings.
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
