"""The audit log: a line of JSON for each thing that was done to a host, chained by hashes."""

import getpass
import json
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from infisical_iac.core.item import with_names

_ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 10


def who() -> str:
    """The user and the machine, such as `ada@laptop`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@cache
def revision() -> str:
    """The commit of this project, with `-dirty` if files differ from it; empty without git."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    return f"{commit}-dirty" if commit and _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


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
class AuditEntry:
    """One line of the log: when (in UTC) and by whom, as `user@machine`, what was done.

    Attributes:
        outcome: `begun` is written before the first change, the others at the end.
        run: an id that the entries of one run share.
        revision: the commit of this project.
        changes: a line each; no secret.
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
) -> AuditEntry:
    """An entry for what happens at this moment."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return AuditEntry(at, who(), event, outcome, run, revision(), list(changes), reason)


def render(entry: AuditEntry) -> str:
    """The entry as a line, to which the host adds the hash of the line before."""
    return json.dumps(asdict(entry), ensure_ascii=False)


@dataclass(frozen=True)
class Log:
    """The entries of a log, and the number of the first line that does not fit, if any."""

    entries: list[AuditEntry]
    broken_at: int | None = None


def parse(text: str) -> Log:
    """Read a log, up to the first line that does not follow the one before.

    A line that was torn, by a host that went down while it was written, is passed over; the
    next one holds its hash too. What is done to the last line can't be seen.
    """
    entries: list[AuditEntry] = []
    before = ""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        values = _values(line)
        if values is not None:
            previous = values.pop("previous", None)
            try:
                entry = AuditEntry(**values)
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
    last: AuditEntry

    @property
    def has_ended(self) -> bool:
        """Return whether the run came to an end that it could tell."""
        return self.last.outcome != "begun"


def doings(entries: Iterable[AuditEntry]) -> list[Doing]:
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
        changes=_merge_lines({host: each.last.changes for host, each in run.items()}, of),
        reason="; ".join(
            _merge_lines(
                {host: [each.last.reason] for host, each in run.items() if each.last.reason}, of
            )
        ),
    )
    return Doing(min(each.began for each in run.values()), last)


def _merge_lines(lines: Mapping[str, Sequence[str]], of: int) -> list[str]:
    """Lines by host, each once, with the names of the hosts unless it is of all."""
    hosts: dict[str, dict[str, None]] = {}
    for host, each in lines.items():
        for line in each:
            hosts.setdefault(line, {})[host] = None
    return with_names(hosts, of=of)
