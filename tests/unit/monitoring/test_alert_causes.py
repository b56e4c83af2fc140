"""Test that each row of the table of checks is caused in a test on hosts."""

from infisical_iac.agent.table import CHECKS
from tests.e2e.alert_causes import ALONE, TOGETHER
from tests.e2e.test_cluster_alerts import FAULTS

# The tests of the monitor cause these four, and one of a cluster causes the last.
_CAUSED_ELSEWHERE = {"container", "disk", "canary", "drift", "replication"}


def test_each_check_is_caused_on_a_host_or_in_a_cluster() -> None:
    alerts = [
        *(alert for cause in (*TOGETHER.values(), *ALONE.values()) for alert in cause.alerts),
        *(alert for fault in FAULTS.values() for alert in fault.alerts),
    ]
    caused = {check for check, _ in alerts}
    assert caused.isdisjoint(_CAUSED_ELSEWHERE)
    assert caused | _CAUSED_ELSEWHERE == {each.name for each in CHECKS}
