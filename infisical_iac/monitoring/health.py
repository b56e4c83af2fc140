"""Read the health of a host, and describe it in rows, one for each part."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from infisical_iac.agent import health as agent_health
from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.health import HealthFacts, MonitorReport
from infisical_iac.agent.journal import parse
from infisical_iac.agent.runner import explain
from infisical_iac.agent.transaction import describe_state, find_by_text
from infisical_iac.api.instance import Beyond
from infisical_iac.backup import record
from infisical_iac.core.agent import Question, question, together
from infisical_iac.core.audit_entries import Log, LoggedRun, list_runs
from infisical_iac.core.change import Change, Row
from infisical_iac.core.lock import OF_HOST
from infisical_iac.core.settings import Settings
from infisical_iac.core.transaction import describe_end
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import describe_left
from infisical_iac.stack.ingress import assess_certificate
from infisical_iac.stack.model import GIVEN_UP_HELP, parse_given_up
from infisical_iac.stack.settings import image_name
from infisical_iac.workspace import second_factor
from infisical_iac.workspace.credential_file import Term, until
from infisical_iac.workspace.model import Requirement
from infisical_iac.workspace.second_factor import SecondFactors

_LEAST_FREE_GB = 2.0
_GIB = 1024**3
_SINGULAR = {
    "organizations": "organization",
    "projects": "project",
    "identities": "identity",
}


@dataclass(frozen=True)
class HealthState:
    """The state of a host that `status` reports.

    Attributes:
        facts: the health as the agent observed it.
        monitor: the monitor's report; None if it is off.
        given_up: the data that rolled back changes left; they are kept.
    """

    facts: HealthFacts = field(default_factory=partial(HealthFacts, engine=True))
    monitor: MonitorReport | None = None
    given_up: Sequence[GivenUp] = ()

    @property
    def credentials(self) -> dict[str, Term]:
        """The lifetimes of client secrets that expire, by the name of their file."""
        terms = self.facts.credentials.items()
        return {name: Term(*map(datetime.fromisoformat, term)) for name, term in terms}

    @property
    def last_backups(self) -> dict[str, datetime]:
        """The time of this host's last backup in a target, by the target's name."""
        return {name: datetime.fromtimestamp(at, UTC) for name, at in self.facts.saved.items()}


def first_apply(states: Iterable[HealthState], runs: Iterable[LoggedRun]) -> Row | None:
    """Return the row on a first apply that is under way; None if none is.

    Args:
        states: the states of all hosts; one of them may have the holder of the lock.
        runs: the runs in the audit log. A restore onto a new host is another kind of run.
    """
    listed = list(states)
    holders = [each.facts.holder for each in listed if each.facts.holder]
    others = [each for each in runs if each.last.outcome == "done" or each.last.event != "apply"]
    if (
        not holders
        or holders[0].startswith(OF_HOST)
        or others
        or any(e.facts.backups for e in listed)
    ):
        return None
    text = f"a first apply is under way, {holders[0]}: run `infisical-iac status` when it has ended"
    return Row("Infisical", text, ok=False)


def rows(
    health: HealthState,
    settings: Settings,
    log: Log,
    drift: Row,
    now: datetime,
    inside: Sequence[Row] = (),
) -> list[Row]:
    """Return the rows of `status`, in their order.

    Args:
        drift: the row that the function `drift` returns.
        inside: the rows that `access`, `second_factors` and `instance` return.
    """
    found = [
        *_containers(health, settings),
        *edge(health),
        *list_unfinished(health),
        *list_ended(health),
        *list_given_up(health),
        disk(health),
        certificate(health, settings, now),
        *credentials(health, now),
        backup(health, settings, now),
        drill(health, now),
        last_apply(list_runs(log.entries)),
        drift,
        *inside,
    ]
    if trouble := firewall(health):
        found.append(Row("Firewall", trouble, ok=False))
    found += monitor(health, now)
    if health.facts.holder:
        found.append(Row("At work now", health.facts.holder, is_note=True))
    if log.broken_at is not None:
        found.append(Row("Audit log", f"line {log.broken_at} was changed", ok=False))
    return found


def shared_host(settings: Settings, machine: MachineState) -> list[Row]:
    """Return the row on the features that `auto` turns off on a shared host; none elsewhere."""
    left = describe_left(settings, machine)
    return [Row("Host", left, is_note=True)] if left else []


def drift_row(pending: Sequence[str], error: str = "") -> Row:
    """Return the row on `pending` changes, one line each, or on the `error` that prevented it."""
    if error:
        return Row("Drift", f"can't be determined: {error}", ok=False)
    if not pending:
        return Row("Drift", "none")
    more = f" and {len(pending) - 3} more" if len(pending) > 3 else ""
    return Row("Drift", f"{'; '.join(pending[:3])}{more}", ok=False)


def access(foreign: Sequence[Change], notes: Sequence[str] = ()) -> list[Row]:
    """Return a row on each access that the project file does not grant; one row if there is none.

    Each of the `notes` has a row too: on access that could not be read, and on entries of the file
    that accept nothing.
    """
    found = [Row("Access", f"{each.what}: {each.detail}", ok=False) for each in foreign]
    seen = "as the file says, as far as it was seen" if notes else "as the file says"
    noted = [Row("Access", each, is_note=True) for each in notes]
    return [*(found or [Row("Access", seen)]), *noted]


def second_factors(known: SecondFactors, admin_email: str, rule: Requirement | None) -> Row:
    """Return the row on the people who have no second factor.

    Without a rule in the project file it is a note.
    """
    text, is_well = second_factor.summarize(known, admin_email, rule)
    return Row("2nd factor", text, is_well, is_note=is_well and rule is None)


def instance(beyond: Beyond | None, error: str = "") -> list[Row]:
    """Return the row on undeclared resources of the instance.

    Such resources are healthy: the members of an organization may make them for themselves.

    Args:
        beyond: their numbers; None if they are unknown.
        error: the reason for unknown numbers; empty if there is none.
    """
    if beyond is None:
        return [Row("Instance", f"can't be determined: {error}", is_note=True)] if error else []
    counts = asdict(beyond)
    parts = [
        f"{number} {kind if number != 1 else _SINGULAR[kind]}"
        for kind, number in counts.items()
        if number
    ]
    return [Row("Instance", f"{', '.join(parts) or 'nothing'} besides what is declared")]


def _containers(health: HealthState, settings: Settings) -> Iterator[Row]:
    if not health.facts.engine:
        yield Row("Docker", "does not answer, so the containers' state is unknown", ok=False)
        return
    for service, image in settings.services.items():
        there = health.facts.containers.get(service)
        if there is None:
            yield Row(service, f"no container; it should run {image_name(image)}", ok=False)
            continue
        same, runs, due = there.image == image, image_name(there.image), image_name(image)
        if not same and runs == due:
            # Only their digests differ.
            runs, due = there.image, image
        version = runs if same else f"{runs}, but it should be {due}"
        how = there.health if there.status == "running" else there.status
        ok = same and (there.status, there.health) == ("running", "healthy")
        yield Row(service, f"{version}: {how}", ok)


# The remedy for an unfinished change, by its name.
_ENDING = {
    "restore": "a restore has not ended: `infisical-iac restore --undo` brings the old data back",
    "upgrade": "a change of version has not ended: `infisical-iac apply` ends it, or goes back",
    "scale": "a scale-out or scale-in has not ended: the same command completes it, and with "
    "--undo goes back",
    "rotation": "a rotation of a key has not ended: `infisical-iac apply` ends it",
}


def edge(health: HealthState) -> Iterator[Row]:
    """Yield the row on a closed edge."""
    if health.facts.closed is None:
        return
    since = datetime.fromtimestamp(health.facts.closed, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = next(_remedies(health), "no change is under way: `infisical-iac apply` opens it")
    yield Row("Edge", f"answers 503 to everybody since {since}; {what}", ok=False)


def list_unfinished(health: HealthState) -> Iterator[Row]:
    """Yield a row for each change that was interrupted or waits, unless the edge tells of it."""
    if health.facts.holder or health.facts.closed is not None:
        return
    for remedy in _remedies(health):
        yield Row("Unfinished", remedy, ok=False)


def _remedies(health: HealthState) -> Iterator[str]:
    """Yield a sentence on each unfinished change, with its remedy."""
    for name, remedy in _ENDING.items():
        if state := health.facts.unfinished.get(name):
            try:
                # Only the engine's journals are JSON.
                if state.startswith("{"):
                    describe_state(name, state)
                yield remedy
            except RuntimeError as error:
                yield explain(error)


def list_ended(health: HealthState) -> Iterator[Row]:
    """Yield a row for each change that ended by itself, until another command tells of it."""
    for name, text in health.facts.ended.items():
        try:
            journal = parse(find_by_text(name, text), text)
        except RuntimeError as error:
            yield Row("Ended", explain(error), ok=False)
        else:
            is_done = journal.outcome == "done"
            yield Row("Ended", describe_end(name, journal), is_done, is_note=is_done)


def list_given_up(health: HealthState) -> Iterator[Row]:
    """Yield a row for each set of data that a rolled back change left."""
    for each in health.given_up:
        yield Row("Given up", f"{each.describe()}; {GIVEN_UP_HELP}", ok=not each.is_needed)


def certificate(health: HealthState, settings: Settings, now: datetime) -> Row:
    ends = health.facts.certificate_ends
    text, ok = assess_certificate(ends, settings.stack, now)
    return Row("Certificate", text, ok, is_note=ends is None)


def disk(health: HealthState) -> Row:
    free, size = health.facts.disk.free / _GIB, health.facts.disk.size / _GIB
    enough = free >= _LEAST_FREE_GB
    text = f"{free:.1f} of {size:.1f} GB free"
    return Row("Disk", text if enough else f"{text}: make room before the database stops", enough)


def firewall(health: HealthState) -> str:
    """Return the problem of the firewall with its remedy; empty if there is none."""
    troubles = {
        "failed": "its rules can't be loaded, so the previous ones stay",
        "ssh-only": "its rules can't be loaded, so only SSH is let in, and Docker does not start",
        "none": "its rules are not loaded, so nothing is filtered",
    }
    trouble = troubles.get(health.facts.firewall)
    return f"{trouble}: `infisical-iac apply`" if trouble else ""


# The monitor runs every minute.
_LONGEST_UNMONITORED = timedelta(minutes=5)


def monitor(health: HealthState, now: datetime) -> Iterator[Row]:
    """Yield the row on the monitor, and one on a silence; none if it is off."""
    seen = health.monitor
    if seen is None:
        return
    troubles = [f"can't deliver to {name}: {why}" for name, why in seen.failing.items()]
    if not seen.at:
        yield Row("Monitoring", "has not run yet: `systemctl status infisical-monitor`", ok=False)
    elif now - datetime.fromtimestamp(seen.at, UTC) > _LONGEST_UNMONITORED:
        since = f"{datetime.fromtimestamp(seen.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        text = f"has not run since {since}: `systemctl status infisical-monitor` on the host"
        yield Row("Monitoring", text, ok=False)
    else:
        text = "; ".join([*seen.alerts, *troubles])
        yield Row("Monitoring", text or "no alerts", ok=not text)
    if seen.silence:
        until = f"{datetime.fromtimestamp(seen.silence.until, UTC):%Y-%m-%dT%H:%M:%SZ}"
        by, why = seen.silence.by, seen.silence.why
        yield Row("Silence", f"no alerts until {until}, by {by}: {why}", is_note=True)


def credentials(health: HealthState, now: datetime) -> Iterator[Row]:
    """Yield the row on client secrets that expire soon, or else on the first one to expire."""
    terms = sorted(health.credentials.items(), key=lambda each: each[1].ends)
    near = [each for each in terms if each[1].is_near_its_end(now)]
    texts = [f"{name} {until(term, now)}" for name, term in near or terms[:1]]
    if near:
        texts[-1] += ": `infisical-iac credentials rotate`"
    if texts:
        yield Row("Credentials", "; ".join(texts), not near)


def backup(health: HealthState, settings: Settings, now: datetime) -> Row:
    targets, since = settings.backup.backup_targets, _parse_time(health.facts.backups_since)
    try:
        last = record.parse_record(health.facts.backups) if health.facts.backups else None
    except ValueError as error:
        text = f"the record /var/lib/infisical-backup/last.json can't be read ({error}): run "
        return Row("Last backup", f"{text}`infisical-iac backup now`", ok=False)
    text, ok = record.assess_record(last, targets, since=since, now=now)
    return Row("Last backup", text, ok, is_note=last is None)


def drill(health: HealthState, now: datetime) -> Row:
    try:
        last = record.parse_drill(health.facts.drills) if health.facts.drills else None
    except ValueError as error:
        text = f"the record /var/lib/infisical-drill/last.json can't be read ({error}): run "
        return Row("Last drill", f"{text}`infisical-iac restore --drill`", ok=False)
    since = _parse_time(health.facts.drills_since)
    text, ok = record.assess_drill(last, since=since, now=now)
    return Row("Last drill", text, ok, is_note=last is None)


def _parse_time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def read_end(record: str) -> str:
    """Return the end of the backup or drill in a host's record; empty if it can't be read."""
    try:
        found = json.loads(record)["ended"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(found)


def last_apply(done: Sequence[LoggedRun]) -> Row:
    last = next((each for each in reversed(done) if each.last.event == "apply"), None)
    if not last:
        return Row("Last apply", "none yet", is_note=True)
    entry = last.last
    ends = {"begun": "has not ended", "failed": "failed"}
    how = ends.get(entry.outcome, f"changed {len(entry.changes)}")
    revision = f", revision {entry.revision}" if entry.revision else ""
    text = f"{last.began} by {entry.by}{revision}: {how}"
    # The row on drift has the changes that such a run left undone.
    return Row("Last apply", text, is_note=entry.outcome in ends)


def health_question(
    *, served_name: str, port: int, lock: str, monitored: bool = False
) -> Question[HealthState]:
    """Return the question for the HealthState; the arguments are those of `facts`.

    Args:
        monitored: whether the monitor is on.
    """
    facts = question(agent_health.facts, served_name=served_name, port=port, lock=lock)
    if not monitored:
        return together(to_state, facts)
    return together(to_state, facts, question(agent_health.report))


def to_state(found: HealthFacts, monitor: MonitorReport | None = None) -> HealthState:
    """Return the state with what was observed, and the data that rolled back changes left."""
    return HealthState(found, monitor, parse_given_up(found.given_up))
