"""Findings of a check, and what code reads from its environment; no value is in them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from infisical_iac.core.errors import FileError
from infisical_iac.workspace.document import parse


@dataclass(frozen=True)
class CheckFinding:
    """Something that isn't as it should be or, as a note, that a person should know.

    Attributes:
        kind: a slug, such as `missing-key`.
        place: a path, with a line if there is one, or a folder of Infisical.
        key: the name that it is about, or "".
        message: what is there, and the remedy, in sentences.
        is_note: whether all is well in spite of it.
    """

    kind: str
    place: str
    key: str
    message: str
    is_note: bool = False


class Read(NamedTuple):
    """A place where code reads a key; optional if it has a default, or asks whether it is there."""

    key: str
    line: int
    is_optional: bool = False


@dataclass
class Reads:
    """The keys that one file reads.

    Attributes:
        dynamic: the lines that read a key whose name is only known when the code runs.
        error: why it can't be read as code, or not in full; or "".
    """

    found: list[Read] = field(default_factory=list)
    dynamic: list[int] = field(default_factory=list)
    error: str = ""


NAME = ".infisical-check.yaml"


class Judged(NamedTuple):
    """The findings that count, and those that are accepted, each with the reason."""

    findings: list[CheckFinding]
    accepted: list[tuple[CheckFinding, str]]


def load(text: str, where: str) -> dict[str, str]:
    """Return the reasons by pattern. Raises FileError for a pattern without one."""
    data = parse(text, where).data or {}
    ignored = data.get("ignore") if isinstance(data, dict) else None
    if data and (not isinstance(ignored, dict) or set(data) != {"ignore"}):
        raise FileError(f"{where} must hold `ignore:` alone, with `PATTERN: reason` below it")
    for pattern, reason in (ignored or {}).items():
        if not isinstance(pattern, str) or not isinstance(reason, str) or not reason.strip():
            raise FileError(f"{where}: {pattern} has no reason: write why it is accepted")
    return dict(ignored or {})


def judge(findings: Iterable[CheckFinding], reasons: dict[str, str], where: str) -> Judged:
    """Take out what a pattern fits: a key, a path or the place of a secret such as `/backend/*`.

    Notes are never taken out. A pattern that fits nothing is told by a note: it may hide
    tomorrow what nobody accepted.
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
        message = f"{pattern} fits no finding: delete it."
        counting.append(CheckFinding("unused-exception", where, "", message, is_note=True))
    return Judged(counting, accepted)


def _fits(pattern: str, finding: CheckFinding) -> bool:
    path = finding.place.rpartition(":")[0] or finding.place
    return any(fnmatchcase(name, pattern) for name in (finding.key, path) if name)
