"""Test that each problem of a host is reported once within two minutes, and its end once."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from infisical_iac.agent.observed import HOUR
from infisical_iac.agent.table import CHECKS, OF_CLUSTER
from tests.e2e import backing
from tests.e2e.alert_causes import (
    ALONE,
    TOGETHER,
    Cause,
    Causing,
    age,
    choose_vitals,
    run_monitor,
)
from tests.e2e.configured import ConfiguredHost
from tests.e2e.conftest import FirstDeploy, copy_first_host
from tests.e2e.inspection import reset_stack
from tests.e2e.webhook import receiver
from tests.staging import ingress

pytestmark = pytest.mark.long

_MOST_SECONDS = 120
# An end is reported once the problem was absent in two evaluations.
_MOST_SECONDS_TO_END = 240
# The tests of the monitor cause these.
_CAUSED_THERE = {"container", "disk", "canary", "drift"}
# A container has no clock of its own.
_NOT_CAUSED = {"clock"}
_OF_CLUSTER = {*OF_CLUSTER, "quorum", "cluster_certificate"}


@pytest.fixture(scope="module")
def on(first: FirstDeploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Causing]:
    """A host with Caddy and the monitor, whose memory and load the tests choose."""
    first.run.ok()
    with copy_first_host("e2e-alerts") as host:
        reset_stack(host)
        ingress.choose(host, "caddy")
        choose_vitals(host)
        address = backing.gateway(host)
        with receiver(address) as team, receiver(address) as other:
            targets = ({"name": "team", "kind": "json"}, {"name": "other", "kind": "json"})
            settings: dict[str, Any] = {"monitoring": "on", "alerts": targets}
            configured = ConfiguredHost(host, tmp_path_factory.mktemp("alerts"), settings)
            done = configured.apply({"ALERT_TEAM": team.url, "ALERT_OTHER": other.url})
            assert done.returncode == 0, done.stdout + done.stderr
            host.run("systemctl reset-failed")
            run_monitor(host)
            yield Causing(configured, team, other)


def _wait_for(on: Causing, phase: str, expected: Sequence[tuple[str, str]], seconds: float) -> None:
    """Wait for a phase of all these alerts, and print how long each took."""
    missing, begin = {*expected}, time.monotonic()
    while missing and time.monotonic() - begin < seconds:
        time.sleep(0.5)
        known = missing & {alert for each, alert in _list_sent(on) if each == phase}
        for each in sorted(known):
            print(f"{each}: {phase} after {time.monotonic() - begin:.0f} s")
        missing -= known
    assert missing == set(), on.team.received


def _list_sent(on: Causing) -> list[tuple[str, tuple[str, str]]]:
    return [(each["phase"], (each["check"], each["subject"])) for each in on.team.received]


def _cause(on: Causing, causes: Sequence[Cause]) -> None:
    alerts = [alert for cause in causes for alert in cause.alerts]
    on.team.received.clear()
    for cause in causes:
        on.act(cause.begin)
    run_monitor(on.host)
    # Some must last for a while.
    age(on.host, HOUR)
    _wait_for(on, "begun", alerts, _MOST_SECONDS)
    for cause in reversed(causes):
        on.act(cause.end)
    _wait_for(on, "ended", alerts, _MOST_SECONDS_TO_END)
    sent = Counter(_list_sent(on))
    assert sent == Counter((phase, each) for phase in ("begun", "ended") for each in alerts)
    for message in on.team.received:
        assert message["remedy"]
    on.team.received.clear()


def test_problems_that_come_together_are_each_reported_and_ended_once(on: Causing) -> None:
    _cause(on, [*TOGETHER.values()])


@pytest.mark.parametrize("name", ALONE)
def test_a_problem_is_reported_and_ended_once(on: Causing, name: str) -> None:
    _cause(on, [ALONE[name]])


def test_each_check_of_a_host_is_caused() -> None:
    causes = [*TOGETHER.values(), *ALONE.values()]
    caused = {check for cause in causes for check, _ in cause.alerts}
    assert caused.isdisjoint(_CAUSED_THERE | _NOT_CAUSED | _OF_CLUSTER)
    assert caused | _CAUSED_THERE | _NOT_CAUSED | _OF_CLUSTER == {each.name for each in CHECKS}
