"""`infisical-iac workspace` on the inventory's host, through its SSH connection."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import settled
from tests.e2e.drifts import DRIFTS
from tests.e2e.running import REPOSITORY
from tests.staging.host import StagingHost

_PROGRAM = Path(sys.executable).with_name("infisical-iac")
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


def _run(host: StagingHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PROGRAM, "workspace", *arguments, "--inventory", "inventory/staging.py"],
        cwd=REPOSITORY,
        env={**os.environ, "STAGING_HOST": host.name},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", _PLANS)
def test_a_plan_names_exactly_the_drift_and_apply_repairs_it(
    deployed: StagingHost, name: str
) -> None:
    before = _run(deployed, "plan")
    assert (before.returncode, before.stdout) == (0, "Nothing to change.\n"), before.stderr
    DRIFTS[name].cause(deployed)
    planned = _run(deployed, "plan")
    assert planned.returncode == 2
    assert planned.stdout.splitlines() == _PLANS[name]
    applied = _run(deployed, "apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.splitlines()[:-1] == _PLANS[name]
    settled(deployed)


def test_a_host_that_is_not_there_is_told(deployed: StagingHost) -> None:
    refused = _run(StagingHost("nowhere"), "plan")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "the staging host 'nowhere' is not up" in refused.stderr
