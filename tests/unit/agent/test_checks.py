"""Test each row of the table of checks: what it finds, and that a healthy host has no problem."""

import json
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.canary import CanaryRun
from infisical_iac.agent.checks import find_transactions, seconds_until_full
from infisical_iac.agent.health import BY_ITSELF, DiskSpace, parse_moment
from infisical_iac.agent.observed import MINUTE, Expectations, History, Observed, Problem
from infisical_iac.agent.swarm import ObservedNode, PostgresMember
from infisical_iac.agent.table import CHECKS
from infisical_iac.agent.upkeep import NewerRelease, ReleaseRecord
from infisical_iac.agent.vitals import DriftRecord, TimerState
from tests.unit.agent.watching import (
    CLUSTER,
    DAY,
    EXPECTED,
    GIB,
    HOUR,
    NOW,
    UPKEEP,
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


MIB = 1024**2


def _upkeep(**changes: Any) -> Observed:
    return observe(upkeep=replace(UPKEEP, **changes))


def _hours(jail: str, failures: int, bans: int) -> dict[str, list[tuple[int, int, int]]]:
    """Return the usual hours with other numbers in the present one."""
    *week, (hour, _, _) = UPKEEP.hours[jail]
    return {jail: [*week, (hour, failures, bans)]}


def _cluster(**changes: Any) -> Observed:
    return observe(cluster=replace(CLUSTER, **changes))


def _nodes(number: int = 2, **changes: Any) -> tuple[ObservedNode, ...]:
    """Return the nodes of a healthy cluster, with changes of one."""
    return tuple(replace(e, **changes) if e.number == number else e for e in CLUSTER.nodes)


def _postgres(
    role: str = "leader", state: str = "running", *, lag: int | None = 0
) -> tuple[PostgresMember, ...]:
    """Return the members with another first one, and another lag of the last."""
    _, second, third = CLUSTER.postgres or ()
    return PostgresMember("postgres-1", role, state, 0), second, replace(third, lag=lag)


def test_a_healthy_host_has_no_problem() -> None:
    assert [each.name for each in CHECKS if _find(each.name, observe())] == []
    assert [each.name for each in CHECKS if _find(each.name, _cluster())] == []
    assert len({each.name for each in CHECKS}) == len(CHECKS)


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
    "timers": (_vitals(timers=(TimerState("a.timer", False),)), "a.timer", "does not run"),
    "reboot": (_vitals(reboot_due=NOW - 9 * DAY), "", "since 2026-11-16"),
    "transaction": (observe(unfinished={"upgrade": "swapped"}), "upgrade", "was interrupted"),
    "clock": (_vitals(synchronized=False), "", "not synchronized"),
    "lock": (
        observe(holder="by ada", vitals=replace(VITALS, lock_taken=NOW - 3 * HOUR)),
        "",
        "for 3 hours",
    ),
    "upgrades": (
        _upkeep(upgrades={"openssl": NOW - 4 * DAY, "curl": NOW - DAY}),
        "",
        "openssl wait since 2026-11-21",
    ),
    "repository": (_upkeep(repositories={"local": (NOW, "it is gone")}), "local", "it is gone"),
    "release": (
        _upkeep(releases=ReleaseRecord(NOW, (NewerRelease("redis", "1", "1.1", "CVE-2026-1"),))),
        "redis",
        "redis 1.1 has a security note: CVE-2026-1",
    ),
    "release_age": (_upkeep(releases=ReleaseRecord(NOW - 9 * DAY)), "", "since 2026-11-16"),
    "logins": (_upkeep(hours=_hours("infisical-login", 51, 0)), "infisical-login", "51 failed"),
    "bans": (_upkeep(hours=_hours("sshd", 0, 16)), "sshd", "16 addresses"),
    "node": (_cluster(nodes=_nodes(is_ready=False)), "web-2", "can't be reached"),
    "quorum": (
        _cluster(has_quorum=False, nodes=(), services={}, postgres=None, etcd=None),
        "swarm",
        "no leader",
    ),
    "etcd": (_cluster(etcd={"https://etcd-2:2381": "deadline exceeded"}), "etcd-2", "deadline"),
    "leader": (_cluster(postgres=_postgres("replica", "running")), "", "no leader"),
    "replication": (_cluster(postgres=_postgres(lag=17 * MIB)), "postgres-3", "17 MB behind"),
    "replicas": (
        _cluster(services={"infisical": (2, 3)}),
        "infisical",
        "2 of 3 replicas of infisical",
    ),
    "cluster_certificate": (_cluster(certificate_ends=NOW + 20 * DAY), "", "ends in 20 days"),
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


@pytest.mark.parametrize(
    ("timer", "fact"),
    [
        (TimerState("a.timer", running_since=NOW - 13 * HOUR), "not ended for 13 hours"),
        (TimerState("a.timer", running_since=NOW - 11 * HOUR), ""),
        (TimerState("a.timer", next_run=NOW - 13 * HOUR), "13 hours ago"),
        (TimerState("a.timer", next_run=NOW + DAY), ""),
    ],
)
def test_a_timer_whose_job_hangs_or_that_missed_its_time_is_reported(
    timer: TimerState, fact: str
) -> None:
    found = _find("timers", _vitals(timers=(timer,)))
    assert [fact in each.text for each in found] == ([True] if fact else [])


def test_lists_of_packages_that_are_not_updated_hide_upgrades() -> None:
    (found,) = _find("upgrades", _upkeep(lists_at=NOW - 4 * DAY))
    assert (found.subject, "2026-11-21" in found.text) == ("lists", True)


def test_an_upgrade_ends_the_alert_on_its_release() -> None:
    record = ReleaseRecord(NOW, (NewerRelease("redis", "0.9", "1.1", "CVE-2026-1"),))
    assert _find("release", _upkeep(releases=record)) == []


def test_a_repository_in_a_directory_is_made_by_the_first_backup() -> None:
    gone = replace(UPKEEP, repositories={"local": (NOW, "it is gone")})
    assert _find("repository", observe(upkeep=gone, saved={})) == []


def test_one_node_reports_a_repository_that_all_share() -> None:
    shared = replace(EXPECTED, backup_targets=(), shared_targets=("local",))
    gone = replace(UPKEEP, repositories={"local": (NOW, "it is gone")})
    other = replace(CLUSTER, reports=False)
    for cluster, number in ((CLUSTER, 1), (other, 0)):
        seen = observe(expected=shared, upkeep=gone, cluster=cluster)
        assert len(_find("repository", seen)) == number


def test_a_backup_in_shared_targets_is_late_once_a_node_has_led_for_a_day() -> None:
    shared = replace(EXPECTED, backup_targets=(), shared_targets=("s3",))
    late = {"s3": int(NOW - 100 * HOUR)}
    for hours, number in ((20, 0), (30, 1)):
        history = History(leads_since=NOW - hours * HOUR)
        seen = observe(expected=shared, history=history, saved=late)
        assert len(_find("backup_age", seen)) == number
    assert _find("backup_age", observe(expected=shared, saved=late)) == []
    failed = observe(expected=shared, backups='{"failure": "s3: no answer"}')
    assert len(_find("backup", failed)) == 1


@pytest.mark.parametrize(
    ("hours", "is_found"),
    [
        # Nothing is usual before a day is known, so ten times as much is let pass.
        ([(int(NOW // HOUR), 499, 0)], False),
        ([(int(NOW // HOUR), 501, 0)], True),
        # The hour before counts, so that the alert does not end at the full hour.
        ([*UPKEEP.hours["sshd"][:-2], (int(NOW // HOUR) - 1, 51, 0)], True),
        ([*UPKEEP.hours["sshd"][:-3], (int(NOW // HOUR) - 2, 51, 0)], False),
        # A host with 40 failed logins in each hour is used to them.
        ([(int(NOW // HOUR) - 200 + each, 40, 0) for each in range(201)], False),
    ],
)
def test_failed_logins_are_compared_with_the_week_before(hours: Any, is_found: bool) -> None:
    assert bool(_find("logins", _upkeep(hours={"sshd": hours}))) is is_found


@pytest.mark.parametrize(("check", "hours"), [("logins", (51, 0)), ("bans", (0, 16))])
def test_an_excess_names_the_usual_number_once(check: str, hours: tuple[int, int]) -> None:
    (found,) = _find(check, _upkeep(hours=_hours("sshd", *hours)))
    assert found.text.count("usually") == 1


def test_a_node_that_does_not_report_finds_nothing_about_the_others() -> None:
    seen = _cluster(reports=False, nodes=_nodes(is_ready=False))
    assert _find("node", seen) == []


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"availability": "drain"}, "is drained"),
        ({"availability": "pause"}, "is paused"),
        ({"reachability": "unreachable"}, "as a manager"),
    ],
)
def test_a_node_that_takes_no_part_is_reported(changes: dict[str, Any], fact: str) -> None:
    (found,) = _find("node", _cluster(nodes=_nodes(**changes)))
    assert fact in found.text


def test_a_lost_node_explains_what_it_takes_along() -> None:
    """Its PostgreSQL, its member of etcd and one replica of each service are no further alerts."""
    lost = _cluster(
        nodes=_nodes(is_ready=False),
        services={"infisical": (2, 3), "haproxy": (3, 4), "postgres-2": (0, 1), "etcd-2": (0, 1)},
        etcd={"https://etcd-1:2381": "", "https://etcd-2:2381": "deadline exceeded"},
        postgres=(
            PostgresMember("postgres-1", "leader", "running"),
            PostgresMember("postgres-3", "sync_standby", "streaming", 0),
        ),
    )
    assert [each.name for each in CHECKS if _find(each.name, lost)] == ["node"]
    more = observe(cluster=replace(lost.cluster, services={"infisical": (1, 3)}))
    assert [each.subject for each in _find("replicas", more)] == ["infisical"]


def test_an_etcd_without_a_quorum_explains_why_postgresql_has_no_leader() -> None:
    seen = _cluster(etcd={}, postgres=_postgres("replica", "stopped"))
    assert [each.name for each in CHECKS if _find(each.name, seen)] == ["quorum"]


@pytest.mark.parametrize(
    ("members", "subjects"),
    [
        (_postgres(lag=None), ["postgres-3"]),
        (_postgres()[:2], ["postgres-3"]),
        ((_postgres()[0], *(replace(e, state="stopped") for e in _postgres()[1:])), None),
        ((_postgres()[0], *(replace(e, role="replica") for e in _postgres()[1:])), ["sync"]),
    ],
)
def test_standbys_that_do_not_follow_are_reported(members: Any, subjects: list[str] | None) -> None:
    found = [each.subject for each in _find("replication", _cluster(postgres=members))]
    assert found == (subjects or ["postgres-2", "postgres-3"])


def test_a_leader_that_is_not_running_is_reported() -> None:
    (found,) = _find("leader", _cluster(postgres=_postgres(state="starting")))
    assert "postgres-1" in found.text


_JOURNAL = {"step": "pause Infisical", "waits": False, "log": [["2026-11-25T11:50:00Z", "", ""]]}


@pytest.mark.parametrize(
    ("waits", "holder", "texts"),
    [
        (False, "", ["was interrupted"]),
        (False, BY_ITSELF, []),
        (True, "", ["`infisical-iac attach`"]),
        (True, BY_ITSELF, ["`infisical-iac attach`"]),
    ],
)
def test_a_change_that_goes_on_by_itself_is_not_interrupted(
    waits: bool, holder: str, texts: list[str]
) -> None:
    state = json.dumps({**_JOURNAL, "waits": waits})
    seen = observe(unfinished={"upgrade": state}, holder=holder)
    found = [each.text for each in find_transactions(seen, 0)]
    assert len(found) == len(texts)
    assert all(text in each for text, each in zip(texts, found, strict=True))


def test_a_restore_that_waits_without_its_command_was_interrupted() -> None:
    state = json.dumps({**_JOURNAL, "waits": True})
    (found,) = find_transactions(observe(unfinished={"restore": state}, holder=""), 0)
    assert found.text == "a restore was interrupted"


@pytest.mark.parametrize(("minutes", "is_changing"), [(10, True), (130, False)])
def test_checks_wait_for_the_steps_of_a_change_that_goes_on_after_a_boot(
    minutes: int, is_changing: bool
) -> None:
    """After a boot nobody has taken the lock yet."""
    began = parse_moment("2026-11-25T11:50:00Z")
    assert began
    seen = observe(
        now=began + minutes * MINUTE,
        vitals=replace(VITALS, lock_taken=None),
        unfinished={"upgrade": json.dumps(_JOURNAL)},
        holder=BY_ITSELF,
    )
    assert seen.is_changing is is_changing
