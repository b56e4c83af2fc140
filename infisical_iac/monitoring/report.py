"""Write `status` and `plan` as pages for a browser: one static file each, without any script."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from infisical_iac.backup.record import (
    Drill,
    Record,
    parse_drill,
    parse_history,
    parse_record,
    size,
)
from infisical_iac.change.outdated import VersionReport, list_pinned
from infisical_iac.core import atomic, bundle
from infisical_iac.core.audit_entries import Log, LoggedRun, list_runs, merge_runs
from infisical_iac.core.change import Change, Row, together
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.monitoring.access_matrix import AccessHolder, AccessTable, list_holders, tabulate
from infisical_iac.monitoring.health import HealthState
from infisical_iac.monitoring.model import PROBLEMS, ValueSurvey
from infisical_iac.stack.settings import image_name
from infisical_iac.workspace.credential_file import Term, until
from infisical_iac.workspace.foreign import LEFT, AccessState
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual

_RUNS, _CHANGES_OF_A_RUN = 12, 8
_BACKUP_DAYS, _DRILL_DAYS = 90, 365
_LEAST_DAYS = 14

# The remedies for rows whose text names no command.
_REMEDIES = {
    "Docker": "`systemctl status docker` on the host says why; `infisical-iac apply` starts it",
    "Disk": "`infisical-iac verify` and `df` on the host show what fills it",
    "Certificate": "`infisical-iac verify` says why, and `infisical-iac docs ingress` what to do",
    "Last backup": "`infisical-iac backup now` tries again",
    "Last drill": "`infisical-iac restore --drill` tries again",
    "Drift": "`infisical-iac plan` shows all of it, `infisical-iac apply` repairs it",
    "Access": "`infisical-iac workspace apply --prune` removes it; `accepted` in the project file "
    "keeps it",
    "2nd factor": "each person turns one on in Infisical, under Personal settings",
    "Audit log": "`infisical-iac audit` says where; look for a copy in the host's backups",
}
_REMEDY_OF_A_SERVICE = "`infisical-iac plan` says why, `infisical-iac apply` repairs it"


@dataclass
class StatusReport:
    """The facts of a page on the status, besides its rows; unreadable ones are empty.

    Attributes:
        name: the name of the inventory.
        settings: None if no host was reachable.
        states: the health of each host, by its name.
        running: the images of the containers, by service.
        logs: the audit logs, by host.
        histories: the texts of the histories of backups and of drills, by host.
        newest: the newest versions; empty if no registry was queried.
        desired: the project file.
        access: the goal with the actual state and access on the server.
        foreign: the access that the project file does not grant.
        values: the problems of the secrets; None if nobody asked for them.
    """

    name: str
    at: datetime
    settings: Settings | None = None
    states: dict[str, HealthState] = field(default_factory=dict)
    running: dict[str, list[str]] = field(default_factory=dict)
    logs: dict[str, Log] = field(default_factory=dict)
    histories: dict[str, tuple[str, str]] = field(default_factory=dict)
    newest: Sequence[VersionReport] = ()
    desired: Workspace | None = None
    access: tuple[Goal, Actual, AccessState] | None = None
    foreign: Sequence[Change] = ()
    values: ValueSurvey | None = None

    @property
    def runs(self) -> list[LoggedRun]:
        """The latest runs in the audit log, the last one first."""
        logs = [*self.logs.values()]
        found = (
            merge_runs(self.logs) if len(logs) > 1 else list_runs(logs[0].entries if logs else [])
        )
        return found[::-1][:_RUNS]

    @property
    def holders(self) -> list[AccessHolder]:
        """Everybody with access."""
        if self.desired is None or self.settings is None:
            return []
        return list_holders(self.desired, self.settings.workspace.admin_email, self.access)


def status_page(report: StatusReport, rows: Sequence[Row]) -> str:
    """Return the page on the status; rows that need attention come first."""
    holders = report.holders
    tables: list[AccessTable] = tabulate(report.desired, holders) if report.desired else []
    return template(
        "status.html",
        report=report,
        at=_text(report.at),
        version=bundle.version(),
        rows=[(row, _remedy(row)) for row in sorted(rows, key=lambda row: row.ok)],
        failing=pluralize(sum(not row.ok for row in rows), "row"),
        is_healthy=all(row.ok for row in rows),
        versions=_versions(report),
        credentials=_credentials(report),
        endless=_endless(report),
        charts=[*_charts(report)],
        tables=tables,
        differences=[each for holder in holders for each in holder.differences()],
        notes=[each for each in holders if each.note],
        most_changes=_CHANGES_OF_A_RUN,
        problems=PROBLEMS,
    )


def plan_page(
    name: str,
    at: datetime,
    *,
    steps: Sequence[tuple[str, Sequence[Change]]],
    blocked: Sequence[Change],
    unknown: Sequence[str],
    foreign: Sequence[Change],
    restarts: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return the page on a plan.

    Args:
        name: the name of the inventory.
        steps: the name of each step that would change something, with its changes.
        blocked: the blocked parts.
        unknown: the sentences on changes that can't be computed yet.
        foreign: the access that the project file does not grant.
        restarts: the sentences on restarts, and on the time without logins.
        notes: all other notes.
    """
    merged = [(step, together(changes)) for step, changes in steps]
    number = sum(len(changes) for _, changes in steps)
    return template(
        "plan.html",
        inventory=name,
        at=_text(at),
        version=bundle.version(),
        number=pluralize(number, "change"),
        is_empty=not (number or blocked or unknown),
        steps=[(step, pluralize(len(changes), "change"), changes) for step, changes in merged],
        blocked=together(blocked),
        unknown=unknown,
        orphans=[each for each in foreign if each.detail.startswith(LEFT)],
        foreign=[each for each in foreign if not each.detail.startswith(LEFT)],
        restarts=restarts,
        notes=notes,
    )


def write(file: Path, page: str) -> None:
    """Write a page, which only its owner can read. Raises FileError if that is impossible."""
    with atomic.explain_failure(file):
        atomic.write(file, page, mode=0o600)


def _remedy(row: Row) -> str:
    if row.ok or "`" in row.text:
        return ""
    return _REMEDIES.get(row.name, _REMEDY_OF_A_SERVICE)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class ProgramVersion:
    """The versions of a program: the running, the desired, and newer ones."""

    name: str
    runs: str
    due: str
    newest: str

    @property
    def is_due(self) -> bool:
        return self.runs == self.due


def _versions(report: StatusReport) -> list[ProgramVersion]:
    if report.settings is None:
        return []
    newer = {each.name: each.newest or each.major for each in report.newest}
    found = [
        ProgramVersion(bundle.NAME, bundle.version(), bundle.version(), newer.get(bundle.NAME, ""))
    ]
    for each in list_pinned(report.settings):
        due = image_name(each.reference)
        runs = dict.fromkeys(map(image_name, report.running.get(each.name, ())))
        found.append(
            ProgramVersion(each.name, ", ".join(runs) or "–", due, newer.get(each.name, ""))
        )
    return found


@dataclass(frozen=True)
class _Lifetime:
    """A credential that expires: the time in words, and the elapsed percentage of its lifetime."""

    name: str
    ends: str
    used: int
    is_near: bool


def _terms(report: StatusReport) -> dict[str, Term]:
    """Return the lifetimes of credentials that expire, by name, the first to expire first."""
    found = [each for state in report.states.values() for each in state.credentials.items()]
    return dict(sorted(found, key=lambda each: each[1].ends))


def _credentials(report: StatusReport) -> list[_Lifetime]:
    now = report.at
    return [
        _Lifetime(name, until(term, now), _part_of_life(term, now), term.is_near_its_end(now))
        for name, term in _terms(report).items()
    ]


def _endless(report: StatusReport) -> list[str]:
    """Return sentences on the credentials of the project file that do not expire."""
    ending = _terms(report)
    accounts = report.desired.every_account() if report.desired else ()
    secrets = [each for each in accounts if each.auth is None and each.credentials not in ending]
    signed = [each for each in accounts if each.auth is not None]
    kinds = {"Without an end": secrets, "Without a secret, as a platform signs logins": signed}
    return [
        f"{what}: {join_names(each.credentials for each in some)}"
        for what, some in kinds.items()
        if some
    ]


def _part_of_life(term: Term, now: datetime) -> int:
    return max(0, min(100, round((now - term.begins) / (term.ends - term.begins) * 100)))


@dataclass(frozen=True)
class Bar:
    """One run in a chart; the numbers are percentages, from the chart's left and bottom."""

    x: float
    width: float
    height: float
    ok: bool
    title: str


@dataclass(frozen=True)
class Chart:
    """The runs of a kind over time, with the meaning of the height and a summary."""

    title: str
    bars: Sequence[Bar]
    since: str
    top: str
    summary: str


@dataclass(frozen=True)
class _Run:
    """One run: its end, its size as number and text, and the reason of a failure."""

    at: datetime
    value: float
    text: str
    failure: str


def chart(title: str, runs: Sequence[_Run], now: datetime, days: int) -> Chart | None:
    """Return the chart of the runs of the last days; None if there is none.

    A failed run is a bar of full height, since it has no size.
    """
    shown = [each for each in runs if timedelta() <= now - each.at <= timedelta(days)]
    if not shown:
        return None
    period = max(now - min(each.at for each in shown), timedelta(_LEAST_DAYS))
    largest = max(shown, key=lambda each: each.value)
    width = max(0.6, min(4.0, 70 / (period / timedelta(1))))
    bars = [
        Bar(
            x=round((100 - width) * (1 - (now - each.at) / period), 2),
            width=round(width, 2),
            height=100.0
            if each.failure
            else round(max(4, each.value / (largest.value or 1) * 100), 1),
            ok=not each.failure,
            title=f"{_text(each.at)}: {each.failure or each.text}",
        )
        for each in shown
    ]
    failed = [each for each in shown if each.failure]
    summary = f"{len(shown) - len(failed)} of {pluralize(len(shown), 'run')} succeeded"
    if failed:
        summary += f"; the last failure, {_text(failed[-1].at)}: {failed[-1].failure}"
    return Chart(title, bars, _text(now - period)[:10], largest.text, summary)


def _charts(report: StatusReport) -> list[Chart]:
    found = []
    for host, state in report.states.items():
        backups, drills = report.histories.get(host, ("", ""))
        on = f" on {host}" if len(report.states) > 1 else ""
        saved = map(_backup, parse_history(backups, parse_record, state.facts.backups))
        proven = map(_drill, parse_history(drills, parse_drill, state.facts.drills))
        found += [
            chart(f"Backups{on}: size of the dump", [*saved], report.at, _BACKUP_DAYS),
            chart(f"Drills{on}: secrets read", [*proven], report.at, _DRILL_DAYS),
        ]
    return [each for each in found if each]


def _backup(run: Record) -> _Run:
    return _Run(run.ended, run.bytes, size(run.bytes), run.failure)


def _drill(run: Drill) -> _Run:
    return _Run(run.ended, run.secrets, pluralize(run.secrets, "secret"), run.failure)
