"""Decide which alerts begin, repeat and end, and write them and the observations as metrics. Pure.

An alert is sent once when it begins, again after a time, and once when it ends. It ends once its
problem was absent in two evaluations, so that a service that comes and goes makes one alert.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from infisical_iac.agent.health import parse_moment
from infisical_iac.agent.observed import Check, History, Observed, Problem
from infisical_iac.agent.swarm import ClusterFacts
from infisical_iac.agent.table import CHECKS, OF_CLUSTER, OF_CONTAINERS
from infisical_iac.agent.upkeep import LOGIN_JAILS

Phase = Literal["begun", "repeated", "ended"]

# Less than the time between two evaluations.
_ABSENT_SECONDS = 45
_KEPT_STARTS_SECONDS = 1800
_SAMPLE_SECONDS, _KEPT_SAMPLES = 600, 150


@dataclass(frozen=True)
class Alert:
    """A problem that lasts.

    Attributes:
        text: the current sentence on the problem.
        since: when it began, or was first seen.
        sent: when it was last sent; 0.0 if it was not, as during a silence.
        absent: since when the problem is gone; 0.0 if it is not.
    """

    check: str
    subject: str
    severity: str
    text: str
    remedy: str
    since: float
    sent: float = 0.0
    absent: float = 0.0

    @property
    def key(self) -> str:
        """Return the name of the alert, which the setting `alerts_ignored` may list."""
        return f"{self.check}:{self.subject}" if self.subject else self.check


@dataclass(frozen=True)
class AlertNotice:
    """An alert that is to be sent, in one phase of its life, at the time `at`."""

    phase: Phase
    alert: Alert
    at: float


@dataclass(frozen=True)
class AlertBook:
    """The lasting alerts, and when newer problems were first seen, both by the alert's key."""

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)


def advance(
    book: AlertBook,
    observed: Observed,
    *,
    repeat: float,
    is_silent: bool = False,
    ignored: Collection[str] = (),
) -> tuple[AlertBook, list[AlertNotice]]:
    """Return the alerts after an evaluation of all checks, and the notices to send.

    Nothing is sent during a silence. After it, alerts that still last are sent, and so are the ends
    of alerts that were sent before it. While a run is at work, the alerts of checks that wait for
    runs stay as they are.

    Args:
        repeat: the seconds after which an alert is sent again.
        ignored: the names of checks, or keys of alerts, that are left out.
    """
    now, alerts, seen = observed.now, {**book.alerts}, {}
    notices: list[AlertNotice] = []
    frozen = _frozen_checks(observed)
    found = {
        alert.key: (wait, alert)
        for wait, alert in _find_problems(observed, frozen)
        if not {alert.check, alert.key} & {*ignored}
    }
    for key, (wait, alert) in found.items():
        if known := alerts.get(key):
            alerts[key] = replace(known, text=alert.text, severity=alert.severity, absent=0.0)
            continue
        first = book.seen.get(key, now)
        if now - first >= wait:
            alerts[key] = replace(alert, since=min(first, alert.since))
        else:
            seen[key] = first
    for key, alert in book.alerts.items():
        if key in found or alert.check in frozen:
            continue
        absent = alert.absent or now
        alerts[key] = replace(alert, absent=absent)
        if now - absent >= _ABSENT_SECONDS:
            if not alert.sent:
                del alerts[key]
            elif not is_silent:
                notices.append(AlertNotice("ended", alerts.pop(key), now))
    for key, alert in alerts.items():
        if is_silent or alert.absent or (alert.sent and now - alert.sent < repeat):
            continue
        alerts[key] = replace(alert, sent=now)
        notices.append(AlertNotice("repeated" if alert.sent else "begun", alerts[key], now))
    kept = {key: at for key, at in book.seen.items() if key.partition(":")[0] in frozen}
    return AlertBook(alerts, {**kept, **seen}), notices


def _frozen_checks(observed: Observed) -> set[str]:
    """Return the names of the checks that may neither begin nor end an alert at the moment."""
    waiting = (each.name for each in CHECKS if each.waits_for_runs)
    return {
        *(waiting if observed.is_changing else ()),
        *(() if observed.facts.engine else (*OF_CONTAINERS, *OF_CLUSTER)),
        *(OF_CLUSTER if _is_maintained(observed) else ()),
    }


def _is_maintained(observed: Observed) -> bool:
    """Return whether a node of the cluster has announced its maintenance."""
    return any(each.maintained > observed.now for each in observed.cluster.nodes)


def _find_problems(observed: Observed, frozen: Collection[str]) -> Iterator[tuple[int, Alert]]:
    """Yield for each problem the seconds that it must last, and its alert."""
    for check in CHECKS:
        for problem in () if check.name in frozen else check.find(observed, check.threshold):
            yield max(check.wait, problem.wait), _alert(check, problem, observed.now)


def _alert(check: Check, problem: Problem, now: float) -> Alert:
    since = now if problem.since is None else min(problem.since, now)
    return Alert(check.name, problem.subject, check.severity, problem.text, check.remedy, since)


def remember(history: History, observed: Observed) -> History:
    """Return the history with the present observations added.

    Starts of containers are not counted while a run is at work, because it causes them, nor those
    before the first evaluation: the deploy that has set up the monitor has caused them.
    """
    is_changing = observed.is_changing or _is_maintained(observed)
    # A run may have begun or ended since the last evaluation.
    has_changed = history.is_changing or (observed.vitals.lock_taken or 0.0) > history.changed_at
    is_quiet = is_changing or has_changed or not history.changed_at
    changed_at = observed.now if is_quiet else history.changed_at
    return History(
        dict(_starts(history, observed, changed_at)),
        _samples(history, observed),
        observed.upkeep,
        (history.leads_since or observed.now) if observed.cluster.leads else None,
        changed_at,
        is_changing,
    )


def _starts(
    history: History, observed: Observed, changed_at: float
) -> Iterator[tuple[str, list[float]]]:
    started = {name: [*each] for name, each in observed.cluster.starts.items()}
    for service in observed.expected.services:
        there = observed.facts.containers.get(service)
        moment = parse_moment(there.started) if there else None
        started[service] = [] if moment is None else [moment]
    for service, moments in started.items():
        known = dict.fromkeys([*history.starts.get(service, ()), *moments])
        since = max(changed_at, observed.now - _KEPT_STARTS_SECONDS)
        yield service, [each for each in known if each > since]


def _samples(history: History, observed: Observed) -> list[tuple[float, int]]:
    """Return the samples of the disk's free space; one is taken every ten minutes."""
    known = [(at, free) for at, free in history.disk]
    if observed.facts.disk.size and (
        not known or observed.now - known[-1][0] >= _SAMPLE_SECONDS or known[-1][0] > observed.now
    ):
        known = [each for each in known if each[0] <= observed.now]
        known.append((observed.now, observed.facts.disk.free))
    return known[-_KEPT_SAMPLES:]


def metrics(
    book: AlertBook, observed: Observed, undelivered: int, *, is_silent: bool
) -> Iterator[str]:
    """Yield the lines of the metrics for Prometheus.

    Args:
        undelivered: the number of notifications that wait for their target.
    """
    facts, machine = observed.facts, observed.vitals
    alerts = book.alerts.values()
    containers = {
        service: (there := facts.containers.get(service)) is not None
        and (there.status, there.health) == ("running", "healthy")
        for service in observed.expected.services
    }
    ends = {
        name: end
        for name, (_, text) in facts.credentials.items()
        if (end := parse_moment(text)) is not None
    }
    yield from _metric(
        "alert",
        "1 for each alert that lasts, by the name of its check.",
        {(("check", e.check), ("subject", e.subject), ("severity", e.severity)): 1 for e in alerts},
    )
    yield from _metric("run_timestamp_seconds", "Time of the last run.", {(): observed.now})
    yield from _metric(
        "silenced",
        "1 while a silence keeps alerts from being sent.",
        {(): int(is_silent)},
    )
    yield from _metric(
        "undelivered", "Notifications that wait for their target.", {(): undelivered}
    )
    yield from _metric(
        "container_healthy",
        "1 if the container of a service runs and is healthy.",
        {(("service", name),): int(is_well) for name, is_well in containers.items()},
    )
    numbers: Mapping[str, tuple[str, float | None]] = {
        "disk_free_bytes": ("Free bytes of the fullest disk.", facts.disk.free),
        "disk_size_bytes": ("Size of that disk.", facts.disk.size),
        "memory_available_bytes": ("Memory that programs can still use.", machine.available),
        "memory_bytes": ("Memory of the machine.", machine.memory),
        "swap_free_bytes": ("Free swap.", machine.free_swap),
        "swap_bytes": ("Swap of the machine.", machine.swap),
        "load15": ("Load over 15 minutes.", machine.load),
        "certificate_end_timestamp_seconds": (
            "End of the served certificate.",
            facts.certificate_ends,
        ),
    }
    for name, (text, number) in numbers.items():
        if number is not None:
            yield from _metric(name, text, {(): number})
    if canary := machine.canary:
        yield from _metric(
            "canary_success", "1 if its last run succeeded.", {(): int(not canary.failure)}
        )
        yield from _metric("canary_timestamp_seconds", "Time of its last run.", {(): canary.at})
        yield from _metric(
            "canary_seconds",
            "How long each step of its last run took.",
            {(("step", step),): taken for step, taken in canary.seconds.items()},
        )
    yield from _metrics_of_upkeep(observed)
    yield from _metrics_of_cluster(observed.cluster)
    yield from _metric(
        "client_secret_end_timestamp_seconds",
        "End of a client secret, by its service.",
        {(("name", name),): end for name, end in ends.items()},
    )


def _metrics_of_upkeep(observed: Observed) -> Iterator[str]:
    found, machine = observed.upkeep, observed.vitals
    last = {jail: hours[-1] for jail, hours in found.hours.items() if hours}
    yield from _metric("failed_units", "Failed units.", {(): len(machine.failed_units)})
    if machine.synchronized is not None:
        yield from _metric(
            "clock_synchronized", "1 if the clock is.", {(): int(machine.synchronized)}
        )
    if machine.reboot_due is not None:
        yield from _metric(
            "reboot_due_timestamp_seconds",
            "Since when an update asks for a reboot.",
            {(): machine.reboot_due},
        )
    yield from _metric(
        "failed_logins",
        "Failed logins in the present hour, by the jail that counts them.",
        {(("jail", jail),): last[jail][1] for jail in LOGIN_JAILS if jail in last},
    )
    yield from _metric(
        "bans",
        "Banned addresses in the present hour, by jail.",
        {(("jail", jail),): bans for jail, (_, _, bans) in last.items()},
    )
    yield from _metric(
        "security_upgrades", "Security upgrades that wait.", {(): len(found.upgrades)}
    )
    yield from _metric(
        "repository_answers",
        "1 if the repository of a backup target answers.",
        {(("target", name),): int(not why) for name, (_, why) in found.repositories.items()},
    )
    if found.releases:
        named = [each.name for each in found.releases.newer if each.security]
        yield from _metric(
            "security_releases",
            "Newer releases with a security note, when they were last asked for.",
            {(): len(named)},
        )


def _metrics_of_cluster(cluster: ClusterFacts) -> Iterator[str]:
    """Yield those of the host that reports for the cluster; none on others."""
    if not cluster.reports:
        return
    members = cluster.postgres or ()
    yield from _metric("swarm_quorum", "1 if the swarm answers.", {(): int(cluster.has_quorum)})
    yield from _metric(
        "node_ready",
        "1 if the managers reach the node, and it is active.",
        {
            (("node", each.name),): int(each.is_ready and each.availability == "active")
            for each in cluster.nodes
        },
    )
    yield from _metric(
        "replicas",
        "Running tasks of a service.",
        {(("service", name),): running for name, (running, _) in cluster.services.items()},
    )
    yield from _metric(
        "replicas_desired",
        "Tasks of a service that should run.",
        {(("service", name),): desired for name, (_, desired) in cluster.services.items()},
    )
    if cluster.etcd is not None:
        yield from _metric(
            "etcd_healthy_members",
            "Healthy members of etcd.",
            {(): sum(not why for why in cluster.etcd.values())},
        )
    if cluster.postgres is not None:
        yield from _metric(
            "postgres_leader",
            "1 if PostgreSQL has a leader that runs.",
            {(): int(any((e.role, e.state) == ("leader", "running") for e in members))},
        )
    yield from _metric(
        "replication_lag_bytes",
        "How far a standby of PostgreSQL is behind.",
        {(("member", each.name),): each.lag for each in members if each.lag is not None},
    )


Labels = tuple[tuple[str, str], ...]


def _metric(name: str, text: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield f"# HELP infisical_monitor_{name} {text}\n# TYPE infisical_monitor_{name} gauge\n"
    for labels, value in values.items():
        shown = ",".join(f'{label}="{_escape(each)}"' for label, each in labels)
        yield f"infisical_monitor_{name}{f'{{{shown}}}' if shown else ''} {value}\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
