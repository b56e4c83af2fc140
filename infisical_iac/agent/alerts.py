"""Decide which alerts begin, repeat and end, from the problems that the checks find. Pure.

An alert is sent once when it begins, again after a time, and once when it ends. It ends once its
problem was absent in two evaluations, so that a service that comes and goes makes one alert.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from infisical_iac.agent.checks import History, Observed, Problem
from infisical_iac.agent.health import parse_moment
from infisical_iac.agent.table import CHECKS, OF_CONTAINERS, Check

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
        for wait, alert in _found(observed, frozen)
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
        *(() if observed.facts.engine else OF_CONTAINERS),
    }


def _found(observed: Observed, frozen: Collection[str]) -> Iterator[tuple[int, Alert]]:
    """Yield for each problem the seconds that it must last, and its alert."""
    for check in CHECKS:
        for problem in () if check.name in frozen else check.find(observed, check.threshold):
            yield max(check.wait, problem.wait), _alert(check, problem, observed.now)


def _alert(check: Check, problem: Problem, now: float) -> Alert:
    since = now if problem.since is None else min(problem.since, now)
    return Alert(check.name, problem.subject, check.severity, problem.text, check.remedy, since)


def remember(history: History, observed: Observed) -> History:
    """Return the history with the present observations added.

    Starts of containers are not counted while a run is at work, because it causes them.
    """
    return History(dict(_starts(history, observed)), _samples(history, observed))


def _starts(history: History, observed: Observed) -> Iterator[tuple[str, list[float]]]:
    for service in observed.expected.services:
        there = observed.facts.containers.get(service)
        started = parse_moment(there.started) if there else None
        known = [*history.starts.get(service, ())]
        if observed.is_changing:
            known = []
        elif started is not None and started not in known:
            known.append(started)
        yield service, [each for each in known if observed.now - each <= _KEPT_STARTS_SECONDS]


def _samples(history: History, observed: Observed) -> list[tuple[float, int]]:
    """Return the samples of the disk's free space; one is taken every ten minutes."""
    known = [(at, free) for at, free in history.disk]
    if observed.facts.disk.size and (
        not known or observed.now - known[-1][0] >= _SAMPLE_SECONDS or known[-1][0] > observed.now
    ):
        known = [each for each in known if each[0] <= observed.now]
        known.append((observed.now, observed.facts.disk.free))
    return known[-_KEPT_SAMPLES:]
