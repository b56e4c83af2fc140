"""`infisical-iac workspace` on the inventory's host, through its SSH connection."""

import pytest

from tests.e2e.conftest import settled
from tests.e2e.drifts import DRIFTS
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost

_PLANS = {
    "environment renamed": [
        "~ environment staging: slug qa → staging, name QA → Staging",
    ],
    "folder deleted": [
        "+ folder /backend in staging",
        "+ import of /shared into /backend in staging",
    ],
    "privilege widened": [
        "~ privilege read-own-folder of backend-staging: "
        "permissions → read /backend and /shared in staging only",
    ],
    "TTL changed": ["~ identity backend-production: accessTokenTTL 7200 → 1800"],
    "membership removed": [
        "+ project membership of python-service-staging: role no-access",
        "+ privilege read-own-folder of python-service-staging: "
        "/python-services and /shared in staging",
    ],
}


@pytest.mark.parametrize("name", _PLANS)
def test_a_plan_names_exactly_the_drift_and_apply_repairs_it(
    deployed: StagingHost, name: str
) -> None:
    before = infisical_iac(deployed.name, "workspace", "plan")
    assert (before.returncode, before.stdout) == (0, "Nothing to change.\n"), before.stderr
    DRIFTS[name].cause(deployed)
    planned = infisical_iac(deployed.name, "workspace", "plan")
    assert planned.returncode == 2
    assert planned.stdout.splitlines() == _PLANS[name]
    applied = infisical_iac(deployed.name, "workspace", "apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.splitlines()[:-1] == _PLANS[name]
    settled(deployed)


def test_a_host_that_is_not_there_is_told(deployed: StagingHost) -> None:
    refused = infisical_iac("nowhere", "workspace", "plan")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "the staging host 'nowhere' is not up" in refused.stderr
