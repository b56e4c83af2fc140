"""Entries of the audit log: one line of JSON for each event on a host, chained by hashes."""

import getpass
import json
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from infisical_iac.core import bundle
from infisical_iac.core.change import with_names

_SECONDS = 10


def operator_name() -> str:
    """Return the user and the machine that run this, such as `ada@laptop`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@cache
def revision() -> str:
    """Return the version of the tool and of the settings, such as `0.2.0+2e4f64033853`.

    The part after the plus is the commit of the working directory, which is the user's repository,
    with `-dirty` if files differ. Without git it is missing. In a checkout of this project, the
    commit replaces the version; there is no second part if the settings are in the checkout too.
    """
    tool = bundle.version() if bundle.IS_INSTALLED else _commit(bundle.ROOT)
    top = _git(Path.cwd(), "rev-parse", "--show-toplevel")
    is_in_checkout = not bundle.IS_INSTALLED and top == str(bundle.ROOT)
    settings = "" if is_in_checkout else _commit(Path.cwd())
    return "+".join(filter(None, (tool, settings)))


def _commit(place: Path) -> str:
    commit = _git(place, "rev-parse", "--short=12", "HEAD")
    return f"{commit}-dirty" if commit and _git(place, "status", "--porcelain") else commit


def _git(place: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(place), *arguments],
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
    "secrets",
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
    """One line of the log.

    Attributes:
        at: the time of the entry, in UTC.
        by: the operator, as `user@machine`.
        outcome: `begun` before the first change; `done` or `failed` at the end of the run.
        run: an id that the entries of one run share.
        revision: the version of the tool, or the commit of its checkout, as `revision` returns it.
        changes: one line for each change, without secrets.
        reason: the reason of a failure.

    A new field needs a default, as older lines lack it. If it can differ between the hosts of a
    cluster, `_merge_run` has to merge it.
    """

    at: str
    by: str
    event: Event
    outcome: Outcome
    run: str
    revision: str
    changes: list[str] = field(default_factory=list)
    reason: str = ""


def make_entry(
    event: Event, outcome: Outcome, run: str, *, changes: Iterable[str] = (), reason: str = ""
) -> AuditEntry:
    """Return an entry with the current time, operator and commit."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return AuditEntry(at, operator_name(), event, outcome, run, revision(), list(changes), reason)


def render(entry: AuditEntry) -> str:
    """Return the entry as a line of JSON; the host adds the hash of the previous line."""
    return json.dumps(asdict(entry), ensure_ascii=False)


@dataclass(frozen=True)
class Log:
    """The entries of a log, and the number of the first line with a wrong hash, if any."""

    entries: list[AuditEntry]
    broken_at: int | None = None


def parse(text: str) -> Log:
    """Read a log up to the first line that lacks the hash of the previous line.

    An incomplete line, left by a host that went down while writing it, is skipped; the next line
    holds its hash. A change to the last line can't be detected. Fields that a newer version of this
    project has written are skipped.
    """
    known = {each.name for each in fields(AuditEntry)}
    entries: list[AuditEntry] = []
    before = ""
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        values = _values(line)
        if values is not None:
            previous = values.pop("previous", None)
            try:
                entry = AuditEntry(**{key: values[key] for key in known & values.keys()})
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
class LoggedRun:
    """One run in the log: its last entry, and the time when it began."""

    began: str
    last: AuditEntry

    @property
    def has_ended(self) -> bool:
        """Return whether the log has the end of the run; an interrupted one may lack it."""
        return self.last.outcome != "begun"


def list_runs(entries: Iterable[AuditEntry]) -> list[LoggedRun]:
    """Return the runs in the order in which they began."""
    found: dict[str, LoggedRun] = {}
    for entry in entries:
        began = found[entry.run].began if entry.run in found else entry.at
        found[entry.run] = LoggedRun(began, entry)
    return list(found.values())


def merge_runs(logs: Mapping[str, Log]) -> list[LoggedRun]:
    """Return the runs of a cluster in the order in which they began.

    Args:
        logs: the log of each host, by its name.

    Changes that a run made on some hosts only begin with the names of these hosts. A run has ended
    when it has ended on all hosts, and has failed if it failed on one.
    """
    found: dict[str, dict[str, LoggedRun]] = {}
    for host, log in logs.items():
        for run in list_runs(log.entries):
            found.setdefault(run.last.run, {})[host] = run
    runs = [_merge_run(each, of=len(logs)) for each in found.values()]
    return sorted(runs, key=lambda each: each.began)


def _merge_run(run: Mapping[str, LoggedRun], *, of: int) -> LoggedRun:
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
    return LoggedRun(min(each.began for each in run.values()), last)


def _merge_lines(lines: Mapping[str, Sequence[str]], of: int) -> list[str]:
    """Return each line once, with the names of its hosts unless all hosts have it."""
    hosts: dict[str, dict[str, None]] = {}
    for host, each in lines.items():
        for line in each:
            hosts.setdefault(line, {})[host] = None
    return with_names(hosts, of=of)
