"""Test when alerts begin, are repeated and end."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from infisical_iac.agent.alerts import AlertBook, advance, remember
from infisical_iac.agent.observed import Expectations, History, Observed
from infisical_iac.agent.swarm import ObservedNode
from infisical_iac.agent.upkeep import Upkeep
from tests.unit.agent.watching import (
    CLUSTER,
    DAY,
    HOUR,
    MINUTE,
    NOW,
    VITALS,
    containers,
    moment,
    observe,
    running,
)

_DOWN: dict[str, Any] = {
    "containers": containers(redis=running(status="exited", finished=moment(NOW - MINUTE)))
}
_RUN: dict[str, Any] = {"holder": "by ada", "vitals": replace(VITALS, lock_taken=NOW)}


class _Monitor:
    """Evaluations of one host, one after the other."""

    def __init__(self, **options: Any) -> None:
        self.book, self.options = AlertBook(), options

    def see(self, minute: float, **facts: Any) -> list[str]:
        """Evaluate at a minute, and return what is sent, such as "begun container:redis"."""
        seen = observe(now=NOW + minute * MINUTE, **facts)
        return self.inspect(seen)

    def inspect(self, seen: Observed, *, is_silent: bool = False) -> list[str]:
        self.book, notices = advance(
            self.book, seen, repeat=DAY, is_silent=is_silent, **self.options
        )
        return [f"{each.phase} {each.alert.key}" for each in notices]

    def see_all(self, minutes: Iterable[int], **facts: Any) -> list[str]:
        return [each for minute in minutes for each in self.see(minute, **facts)]


def test_an_alert_is_sent_once_when_it_begins_and_once_when_it_ends() -> None:
    monitor = _Monitor()
    assert monitor.see_all(range(10), **_DOWN) == ["begun container:redis"]
    assert monitor.see_all(range(10, 20)) == ["ended container:redis"]
    assert monitor.book == AlertBook()


def test_a_container_that_stops_is_reported_within_two_minutes() -> None:
    """There is an evaluation every minute; in the worst case the first one is just too early."""
    down = containers(redis=running(status="exited", finished=moment(NOW)))
    monitor = _Monitor()
    begun = [at for at in (44, 104) if monitor.see(at / MINUTE, containers=down)]
    assert begun == [104]


def test_an_alert_that_lasts_is_repeated_after_a_day() -> None:
    monitor = _Monitor()
    hours = [hour * 60 for hour in range(50)]
    late = {"saved": {"local": int(NOW + 2 * DAY)}, "vitals": replace(VITALS, timers=())}
    assert monitor.see_all(hours, **_DOWN, **late, upkeep=Upkeep()) == [
        "begun container:redis",
        "repeated container:redis",
        "repeated container:redis",
    ]


def test_a_problem_that_comes_and_goes_makes_one_alert() -> None:
    monitor = _Monitor()
    sent = [monitor.see(minute, **(_DOWN if minute % 2 else {})) for minute in range(1, 9)]
    assert [each for one in sent for each in one] == ["begun container:redis"]


def test_a_problem_that_must_last_is_no_alert_before() -> None:
    monitor = _Monitor()
    clock = replace(VITALS, synchronized=False)
    assert monitor.see_all(range(60), vitals=clock) == []
    assert monitor.see(60, vitals=clock) == ["begun clock"]
    # One good evaluation restarts the time.
    other = _Monitor()
    assert other.see_all(range(59), vitals=clock) + other.see(59) == []
    assert other.see_all(range(60, 119), vitals=clock) == []


def test_a_container_that_is_starting_begins_no_alert_and_ends_none() -> None:
    starting = {"containers": containers(redis=running(health="starting"))}
    assert _Monitor().see_all(range(5), **starting) == []
    assert _Monitor().see_all(range(6), **starting) == ["begun container:redis"]
    monitor = _Monitor()
    assert monitor.see(0, **_DOWN) == ["begun container:redis"]
    assert monitor.see_all(range(1, 5), **starting) == []
    assert monitor.see_all(range(5, 7)) == ["ended container:redis"]


def test_alerts_of_containers_wait_while_a_run_is_at_work() -> None:
    monitor = _Monitor()
    assert monitor.see_all(range(5), **_DOWN, **_RUN) == []
    assert monitor.see(5, **_DOWN) == ["begun container:redis"]
    # The alert ends only after the run that repairs the container has ended.
    assert monitor.see_all((6, 7, 8), **_RUN) == []
    assert monitor.see_all((9, 10)) == ["ended container:redis"]


def test_a_run_does_not_delay_alerts_that_it_cannot_cause() -> None:
    monitor = _Monitor()
    vitals = replace(VITALS, lock_taken=NOW, load=99.0)
    assert monitor.see(0, holder="by ada", vitals=vitals) == ["begun load"]


def test_a_run_that_hangs_does_not_delay_alerts() -> None:
    vitals = replace(VITALS, lock_taken=NOW - 3 * HOUR)
    assert "begun container:redis" in _Monitor().see(0, **_DOWN, holder="by ada", vitals=vitals)


def test_alerts_of_containers_wait_after_a_boot() -> None:
    booted = replace(VITALS, uptime=100)
    assert _Monitor().see(0, **_DOWN, vitals=booted) == []


def test_a_docker_that_does_not_answer_ends_no_alert_of_its_containers() -> None:
    monitor = _Monitor()
    monitor.see(0, **_DOWN)
    sent = monitor.see_all(range(1, 5), engine=False, containers={})
    assert sent == ["begun docker"]
    assert "container:redis" in monitor.book.alerts


def test_a_silence_delays_the_beginnings_and_the_ends_of_alerts() -> None:
    monitor = _Monitor()
    assert monitor.see(0, **_DOWN) == ["begun container:redis"]
    silent = [observe(now=NOW + minute * MINUTE, firewall="none") for minute in range(1, 5)]
    assert [each for seen in silent for each in monitor.inspect(seen, is_silent=True)] == []
    assert monitor.see(5, firewall="none") == ["ended container:redis", "begun firewall"]


def test_an_alert_that_begins_and_ends_within_a_silence_is_never_sent() -> None:
    monitor = _Monitor()
    for minute in range(3):
        assert monitor.inspect(observe(now=NOW + minute * MINUTE, **_DOWN), is_silent=True) == []
    for minute in range(3, 6):
        assert monitor.inspect(observe(now=NOW + minute * MINUTE), is_silent=True) == []
    assert (monitor.see(6), monitor.book) == ([], AlertBook())


@pytest.mark.parametrize("ignored", ["container", "container:redis"])
def test_an_ignored_check_makes_no_alert(ignored: str) -> None:
    monitor = _Monitor(ignored=(ignored,))
    assert monitor.see(0, **_DOWN, firewall="none") == ["begun firewall"]


def test_a_container_that_starts_again_and_again_is_reported() -> None:
    monitor, history = _Monitor(), History(changed_at=NOW - HOUR)
    sent = []
    for minute in range(12):
        at = NOW + minute * MINUTE
        started = NOW + minute // 4 * 4 * MINUTE
        stack = containers(redis=running(started=moment(started)))
        seen = observe(now=at, containers=stack)
        history = remember(history, seen)
        sent += monitor.inspect(replace(seen, history=history))
    assert sent == ["begun flapping:redis"]


def test_starts_that_a_run_causes_do_not_count() -> None:
    history = History()
    for minute in range(9):
        stack = containers(redis=running(started=moment(NOW + minute * MINUTE)))
        seen = observe(now=NOW + minute * MINUTE, containers=stack, **_RUN)
        history = remember(history, seen)
    assert history.starts["redis"] == []


def test_starts_between_the_last_two_evaluations_of_a_run_do_not_count() -> None:
    """A run that lasts for three evaluations, and a short one that no evaluation sees."""
    for held, taken in (((1, 2), MINUTE), ((), 2 * MINUTE + 30)):
        history = History(changed_at=NOW - HOUR)
        for minute in range(4):
            at = NOW + minute * MINUTE
            stack = containers(redis=running(started=moment(at - 10)))
            vitals = replace(VITALS, lock_taken=NOW + taken if minute * MINUTE >= taken else None)
            seen = observe(now=at, containers=stack, vitals=vitals)
            if minute in held:
                seen = replace(seen, facts=replace(seen.facts, holder="ada"))
            history = remember(history, seen)
        assert history.starts["redis"] == []


def test_a_task_of_a_cluster_that_starts_again_and_again_is_reported() -> None:
    """Swarm makes a new container for each start, and keeps some of the old ones."""
    starts = {"infisical": (NOW - 600, NOW - 300, NOW - 60), "redis-1": (NOW - DAY,)}
    seen = observe(cluster=replace(CLUSTER, starts=starts), expected=Expectations())
    history = remember(History(changed_at=NOW - HOUR), seen)
    assert _Monitor().inspect(replace(seen, history=history)) == ["begun flapping:infisical"]
    # Those before the first evaluation are of the deploy that has set up the monitor.
    history = remember(History(), seen)
    assert _Monitor().inspect(replace(seen, history=history)) == []
    # Those before the end of a run are its own.
    history = remember(History(changed_at=NOW - 200), seen)
    assert _Monitor().inspect(replace(seen, history=history)) == []


def test_a_node_that_has_announced_its_maintenance_makes_no_alert_on_the_others() -> None:
    lost = ObservedNode("b", "web-2", 2, is_ready=False, maintained=NOW + 10 * MINUTE)
    nodes = (CLUSTER.nodes[0], lost, *CLUSTER.nodes[2:])
    services = {"infisical": (1, 3), "haproxy": (3, 4)}
    cluster = replace(CLUSTER, nodes=nodes, services=services)
    monitor = _Monitor()
    assert monitor.see_all(range(9), cluster=cluster) == []
    assert set(monitor.see_all(range(10, 13), cluster=cluster)) == {
        "begun node:web-2",
        "begun replicas:infisical",
    }


def test_a_node_is_reported_within_two_minutes_and_a_worker_after_its_reboot() -> None:
    nodes = [*CLUSTER.nodes]
    for number, expected in ((1, [1]), (3, [5])):
        lost = replace(nodes[number], is_ready=False)
        away = (*nodes[:number], lost, *nodes[number + 1 :])
        monitor = _Monitor()
        cluster = replace(CLUSTER, nodes=away)
        assert [m for m in range(8) if monitor.see(m, cluster=cluster)] == expected


def test_the_time_since_when_a_node_leads_is_remembered() -> None:
    history = remember(History(), observe(cluster=CLUSTER))
    again = remember(history, observe(now=NOW + HOUR, cluster=CLUSTER))
    assert (history.leads_since, again.leads_since) == (NOW, NOW)
    follows = observe(cluster=replace(CLUSTER, leads=False))
    assert remember(again, follows).leads_since is None


@pytest.mark.parametrize("what", ["upgrade", "restore", "scale", "rotation"])
def test_a_change_is_no_interrupted_one_while_its_run_is_at_work(what: str) -> None:
    """It closes the edge, stops containers and leaves units failed, and its run holds the lock."""
    caused: dict[str, Any] = {
        "unfinished": {what: "begun"},
        "closed": int(NOW - HOUR),
        "containers": containers(infisical=None, postgres=None),
    }
    failed = replace(VITALS, lock_taken=NOW, failed_units=("infisical-firewall.service",))
    monitor = _Monitor()
    during = {**caused, "holder": "by ada", "vitals": failed}
    assert monitor.see_all(range(60), **during) == []
    # The run was killed, so nothing repairs it.
    interrupted = set(monitor.see_all(range(60, 75), **caused))
    assert {f"begun transaction:{what}", "begun edge", "begun container:postgres"} <= interrupted


def test_the_disk_is_remembered_every_ten_minutes_for_a_day() -> None:
    history = History()
    for minute in range(60 * 30):
        history = remember(history, observe(now=NOW + minute * MINUTE))
    times = [at for at, _ in history.disk]
    assert len(times) == 150
    assert {later - at for at, later in pairwise(times)} == {600}
