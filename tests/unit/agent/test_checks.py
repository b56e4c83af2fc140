"""Test each row of the table of checks: what it finds, and that a healthy host has no problem."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.canary import CanaryRun
from infisical_iac.agent.checks import seconds_until_full
from infisical_iac.agent.health import DiskSpace
from infisical_iac.agent.observed import Expectations, History, Observed, Problem
from infisical_iac.agent.table import CHECKS, NAMES
from infisical_iac.agent.vitals import DriftRecord
from tests.unit.agent.watching import (
    DAY,
    EXPECTED,
    GIB,
    HOUR,
    NOW,
    VITALS,
    containers,
    moment,
    observe,
    running,
)

_LONG_AGO = int(NOW - 100 * DAY)


def _find(name: str, seen: Observed) -> list[Problem]:
    (check,) = (each for each in CHECKS if each.name == name)
    return [*check.find(seen, check.threshold)]


def _vitals(**changes: Any) -> Observed:
    return observe(vitals=replace(VITALS, **changes))


def test_a_healthy_host_has_no_problem() -> None:
    assert [each.name for each in CHECKS if _find(each.name, observe())] == []
    assert len(NAMES) == len(CHECKS)


_PROBLEMS: dict[str, tuple[Observed, str, str]] = {
    "docker": (observe(engine=False, containers={}), "", "Docker"),
    "container": (observe(containers=containers(redis=None)), "redis", "no container"),
    "flapping": (
        observe(history=History({"redis": [NOW - 600, NOW - 300, NOW]})),
        "redis",
        "3 times",
    ),
    "canary": (
        _vitals(canary=CanaryRun(NOW, {"login": 0.1}, "writing a secret fails: HTTP 403")),
        "",
        "writing a secret fails: HTTP 403",
    ),
    "canary_slow": (
        _vitals(canary=CanaryRun(NOW, {"login": 4.0, "write": 1.5})),
        "",
        "takes 5.5 s",
    ),
    "edge": (observe(closed=int(NOW - HOUR)), "", "503"),
    "firewall": (observe(firewall="none"), "", "nothing is filtered"),
    "disk": (observe(disk=DiskSpace("/var/lib", GIB, 40 * GIB)), "", "1.0 of 40.0 GB"),
    "disk_growth": (
        observe(
            history=History({}, [(NOW - hours * HOUR, hours * GIB) for hours in range(12, 0, -1)])
        ),
        "",
        "full within 0.0 days",
    ),
    "memory": (_vitals(available=GIB // 10), "", "2 % of the memory"),
    "swap": (_vitals(free_swap=GIB // 10), "", "90 % of the swap"),
    "load": (_vitals(load=9.0), "", "load is 9 on 2"),
    "certificate": (observe(certificate_ends=int(NOW + 3.5 * DAY)), "", "in 3 days"),
    "credentials": (
        observe(credentials={"a.b": ("2026-09-01T00:00:00Z", "2026-12-01T00:00:00Z")}),
        "a.b",
        "ends on 2026-12-01",
    ),
    "backup": (observe(backups='{"failure": "local: no space"}'), "", "local: no space"),
    "backup_age": (observe(saved={"local": int(NOW - 30 * HOUR)}), "local", "for 30 hours"),
    "drill": (
        observe(drills='{"failure": "no snapshot", "success": "2026-11-24T04:30:00Z"}'),
        "",
        "no snapshot",
    ),
    "drill_age": (observe(drills="", drills_since=_LONG_AGO), "", "for 100 days"),
    "recovery_kit": (_vitals(kit="none has been made"), "", "none has been made"),
    "units": (_vitals(failed_units=("cron.service",)), "cron.service", "has failed"),
    "timers": (_vitals(stopped_timers=("a.timer",)), "a.timer", "does not run"),
    "reboot": (_vitals(reboot_due=NOW - 9 * DAY), "", "since 2026-11-16"),
    "transaction": (observe(unfinished={"upgrade": "swapped"}), "upgrade", "was interrupted"),
    "clock": (_vitals(synchronized=False), "", "not synchronized"),
    "lock": (
        observe(holder="by ada", vitals=replace(VITALS, lock_taken=NOW - 3 * HOUR)),
        "",
        "for 3 hours",
    ),
    "sign_up": (_vitals(is_sign_up_open=True), "", "may make an account"),
    "access": (
        _vitals(drift=DriftRecord(NOW - HOUR, ("* identity ci with role admin: made by nobody",))),
        "identity ci with role admin",
        "made by nobody",
    ),
    "drift": (
        _vitals(drift=DriftRecord(NOW - HOUR, ("~ sign-up: open → closed",))),
        "",
        "~ sign-up: open → closed",
    ),
    "drift_age": (_vitals(drift=DriftRecord(NOW - 30 * HOUR)), "", "for 30 hours"),
    "delivery": (
        _vitals(undelivered={"team": (NOW - HOUR, "HTTP 500")}),
        "team",
        "HTTP 500",
    ),
}


@pytest.mark.parametrize("name", [each.name for each in CHECKS])
def test_a_check_finds_its_problem_and_names_its_subject(name: str) -> None:
    seen, subject, fact = _PROBLEMS[name]
    (found,) = _find(name, seen)
    assert (found.subject, fact in found.text) == (subject, True), found.text
    # No other check finds it, so there is one alert; a failed engine hides its containers.
    others = [each.name for each in CHECKS if each.name != name and _find(each.name, seen)]
    assert others == []


@pytest.mark.parametrize(
    ("container", "is_found"),
    [
        (running(status="exited", finished=moment(NOW - 44)), False),
        (running(status="exited", finished=moment(NOW - 45)), True),
        (running(health="unhealthy"), True),
        (running(status="created", finished="0001-01-01T00:00:00Z"), True),
    ],
)
def test_a_container_that_restarts_is_no_problem_at_once(container: Any, is_found: bool) -> None:
    assert bool(_find("container", observe(containers=containers(redis=container)))) is is_found


@pytest.mark.parametrize(
    ("ends", "changes", "fact"),
    [
        (None, {}, "is served"),
        (None, {"serves": False}, ""),
        (None, {"served_name": ""}, ""),
        (NOW - DAY, {}, "ended on 2026-11-24"),
        (NOW + HOUR, {"is_short_lived": True}, ""),
        (NOW + 15 * DAY, {}, ""),
    ],
)
def test_a_certificate_is_reported_where_this_host_has_to_serve_it(
    ends: float | None, changes: dict[str, Any], fact: str
) -> None:
    expected = replace(EXPECTED, **changes)
    found = _find("certificate", observe(certificate_ends=ends, expected=expected))
    assert [fact in each.text for each in found] == ([True] if fact else [])


def test_a_host_without_data_misses_no_backup_and_no_drill() -> None:
    seen = observe(backups="", drills="", saved={}, expected=Expectations())
    for name in ("backup", "backup_age", "drill", "drill_age", "container"):
        assert _find(name, seen) == []


def test_a_record_that_cannot_be_read_is_a_failure() -> None:
    assert "record" in _find("backup", observe(backups="{"))[0].text


def test_a_target_that_never_had_a_backup_is_late_a_day_after_the_first_deploy() -> None:
    for hours, number in ((20, 0), (30, 1)):
        seen = observe(saved={}, backups_since=int(NOW - hours * HOUR))
        assert len(_find("backup_age", seen)) == number


def test_units_that_other_checks_report_are_left_to_them() -> None:
    assert _find("units", _vitals(failed_units=("infisical-backup.service",))) == []


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        # Too short a time.
        ([(NOW - HOUR, 10), (NOW, 5)], None),
        # It shrinks.
        ([(NOW - 12 * HOUR, 10), (NOW - 2 * HOUR, 11), (NOW, 12)], None),
        # One large write long ago.
        ([(NOW - 12 * HOUR, 100), (NOW - 11 * HOUR, 50), (NOW - 3 * HOUR, 50), (NOW, 50)], None),
        # It goes on: 10 in 12 hours.
        ([(NOW - 12 * HOUR, 30), (NOW - 3 * HOUR, 22.5), (NOW, 20)], 24 * HOUR),
    ],
)
def test_a_disk_that_keeps_growing_has_a_time_when_it_is_full(
    samples: Any, expected: float | None
) -> None:
    assert seconds_until_full(samples, NOW) == expected


@pytest.mark.parametrize(
    "outage",
    [
        {"containers": containers(redis=None)},
        {"containers": containers(infisical=running(health="starting"))},
        {"engine": False},
        {"closed": int(NOW - 60)},
    ],
)
def test_an_outage_with_a_known_cause_is_not_reported_by_the_canary_too(
    outage: dict[str, Any],
) -> None:
    failed = replace(VITALS, canary=CanaryRun(NOW, failure="logging in fails: HTTP 502"))
    assert len(_find("canary", observe(vitals=failed))) == 1
    assert _find("canary", observe(vitals=failed, **outage)) == []


def test_a_run_after_the_drift_check_may_have_repaired_what_it_found() -> None:
    """The next drift check tells whether it did."""
    found = DriftRecord(NOW - HOUR, ("~ sign-up: open → closed", "* identity ci"))
    before, after = (_vitals(drift=found, lock_taken=NOW - hours * HOUR) for hours in (2, 0.5))
    assert [len(_find(name, before)) for name in ("drift", "access")] == [1, 1]
    assert [len(_find(name, after)) for name in ("drift", "access")] == [0, 0]


def test_a_failed_drift_check_is_reported() -> None:
    (found,) = _find("drift", _vitals(drift=DriftRecord(NOW, error="a key is gone")))
    assert "a key is gone" in found.text
