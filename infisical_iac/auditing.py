"""The audit log: a line of JSON for each thing that was done to a host, chained by hashes."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from infisical_iac.actor import revision, who

Event = Literal[
    "apply",
    "workspace",
    "rotation",
    "keys",
    "backup",
    "drill",
    "recovery-kit",
    "restore",
    "rollback",
    "destroy",
]
Outcome = Literal["begun", "done", "failed"]


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        at: when, in UTC, such as `2026-11-25T14:20:00Z`.
        by: who, as `user@machine`.
        event: what was done.
        outcome: `begun` is written before the first change, the others at the end.
        run: an id that the entries of one run share.
        revision: the commit of this project.
        changes: what was changed, a line each; no secret.
        reason: why it failed.
    """

    at: str
    by: str
    event: Event
    outcome: Outcome
    run: str
    revision: str
    changes: list[str] = field(default_factory=list)
    reason: str = ""


def now(
    event: Event, outcome: Outcome, run: str, *, changes: Iterable[str] = (), reason: str = ""
) -> Entry:
    """An entry for what happens at this moment."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Entry(at, who(), event, outcome, run, revision(), list(changes), reason)


def render(entry: Entry) -> str:
    """The entry as a line, to which the host adds the hash of the line before."""
    return json.dumps(asdict(entry), ensure_ascii=False)


@dataclass(frozen=True)
class Log:
    """The entries of a log, and the number of the first line that does not fit, if any."""

    entries: list[Entry]
    broken_at: int | None = None


def parse(text: str) -> Log:
    """Read a log, up to the first line that does not follow the one before.

    A line that was torn, by a host that went down while it was written, is passed over; the
    next one holds its hash too. What is done to the last line can't be seen.
    """
    entries: list[Entry] = []
    before = ""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        values = _values(line)
        if values is not None:
            previous = values.pop("previous", None)
            try:
                entry = Entry(**values)
            except TypeError:
                return Log(entries, broken_at=number)
            if previous != sha256(before.encode()).hexdigest():
                return Log(entries, broken_at=number)
            entries.append(entry)
        before = line
    return Log(entries)


def _values(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


@dataclass(frozen=True)
class Doing:
    """All that the log says of one run: its last entry, and when it began."""

    began: str
    last: Entry

    @property
    def ended(self) -> bool:
        """Whether the run came to an end that it could tell."""
        return self.last.outcome != "begun"


def doings(entries: Iterable[Entry]) -> list[Doing]:
    """The runs in the order in which they began."""
    found: dict[str, Doing] = {}
    for entry in entries:
        began = found[entry.run].began if entry.run in found else entry.at
        found[entry.run] = Doing(began, entry)
    return list(found.values())
