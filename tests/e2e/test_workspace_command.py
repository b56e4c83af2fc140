"""Test `infisical-iac workspace` on the inventory's host, through its SSH connection."""

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.drifts import DRIFTS
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real


@pytest.mark.parametrize("name", ["environment renamed", "folder deleted"])
def test_a_plan_names_exactly_the_drift_and_apply_repairs_it(
    deployed_host: StagingHost, name: str
) -> None:
    before = infisical_iac(deployed_host.name, "workspace", "plan")
    assert (before.returncode, before.stdout) == (0, "Nothing to change.\n"), before.stderr
    DRIFTS[name].cause(deployed_host)
    planned = infisical_iac(deployed_host.name, "workspace", "plan")
    assert planned.returncode == 2
    assert planned.stdout.splitlines() == list(DRIFTS[name].plan)
    applied = infisical_iac(deployed_host.name, "workspace", "apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.splitlines()[:-1] == list(DRIFTS[name].plan)
    assert_converged(deployed_host)


def test_workspace_plan_reports_a_missing_host(deployed_host: StagingHost) -> None:
    refused = infisical_iac("nowhere", "workspace", "plan")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "'nowhere'" in refused.stderr
