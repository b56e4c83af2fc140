"""Test that each problem of a host is reported once within two minutes, and its end once."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from infisical_iac.agent.observed import HOUR
from infisical_iac.agent.table import CHECKS
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

# A problem that must last for longer is made older.
_SHORT_SECONDS = 30
_WAITS = {each.name: each.wait for each in CHECKS}


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


def _cause(on: Causing, causes: Sequence[Cause]) -> None:
    alerts = [alert for cause in causes for alert in cause.alerts]
    lasting = [each for each in alerts if _WAITS[each[0]] > _SHORT_SECONDS]
    on.team.received.clear()
    for cause in causes:
        on.act(cause.begin)
    # Only a problem that the monitor knows can be made older.
    run_monitor(on.host)
    on.team.wait_for("begun", {*alerts} - {*lasting})
    if lasting:
        age(on.host, HOUR)
        on.team.wait_for("begun", lasting)
    for cause in reversed(causes):
        on.act(cause.end)
    on.team.wait_for("ended", alerts)
    on.team.assert_reported_once(alerts)


def test_problems_that_come_together_are_each_reported_and_ended_once(on: Causing) -> None:
    _cause(on, [*TOGETHER.values()])


@pytest.mark.parametrize("name", ALONE)
def test_a_problem_is_reported_and_ended_once(on: Causing, name: str) -> None:
    _cause(on, [ALONE[name]])
