"""The audit log: a line of JSON for each thing that was done to a host, chained by hashes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from infisical_iac.actor import revision, who

Event = Literal[
    "apply",
    "workspace",
    "rotation",
    "keys",
    "credentials",
    "backup",
    "drill",
    "recovery-kit",
    "restore",
    "rollback",
    "scale-out",
    "scale-in",
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
        """Return whether the run came to an end that it could tell."""
        return self.last.outcome != "begun"


def doings(entries: Iterable[Entry]) -> list[Doing]:
    """The runs in the order in which they began."""
    found: dict[str, Doing] = {}
    for entry in entries:
        began = found[entry.run].began if entry.run in found else entry.at
        found[entry.run] = Doing(began, entry)
    return list(found.values())


def doings_of(logs: Mapping[str, Log]) -> list[Doing]:
    """The runs on the hosts of a cluster, in the order in which they began.

    What a run did on one host, or on some, is told with their names. It has ended when it has on
    each host, and failed if it did on one.

    Args:
        logs: of all hosts, by their names.
    """
    found: dict[str, dict[str, Doing]] = {}
    for host, log in logs.items():
        for doing in doings(log.entries):
            found.setdefault(doing.last.run, {})[host] = doing
    runs = [_together(each, of=len(logs)) for each in found.values()]
    return sorted(runs, key=lambda each: each.began)


def _together(run: Mapping[str, Doing], *, of: int) -> Doing:
    lasts = [each.last for each in run.values()]
    outcomes: list[Outcome] = ["failed", "begun", "done"]
    last = replace(
        max(lasts, key=lambda each: each.at),
        outcome=next(each for each in outcomes if any(each == last.outcome for last in lasts)),
        changes=_named({host: each.last.changes for host, each in run.items()}, of),
        reason="; ".join(
            _named({host: [each.last.reason] for host, each in run.items() if each.last.reason}, of)
        ),
    )
    return Doing(min(each.began for each in run.values()), last)


def _named(lines: Mapping[str, Sequence[str]], of: int) -> list[str]:
    """Lines by host, each once, with the names of the hosts unless it is of all."""
    hosts: dict[str, dict[str, None]] = {}
    for host, each in lines.items():
        for line in each:
            hosts.setdefault(line, {})[host] = None
    return [
        line if len(names) == of else f"{', '.join(names)}: {line}" for line, names in hosts.items()
    ]
