"""Each drift is planned exactly, and repaired by a rerun, which touches nothing else."""

import pytest

from tests.e2e.conftest import settled
from tests.e2e.drifts import DRIFTS
from tests.e2e.looking import containers, secrets
from tests.e2e.running import deploy, planned
from tests.staging.host import StagingHost


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.kernel] if drift.is_of_kernel else [])
        for name, drift in DRIFTS.items()
    ],
)
def test_the_plan_names_it_and_a_rerun_repairs_it_and_nothing_else(
    deployed: StagingHost, name: str
) -> None:
    drift = DRIFTS[name]
    before, keys = containers(deployed), _keys(deployed)
    drift.cause(deployed)
    status, lines = planned(deployed.name)
    assert status == 2
    assert len(lines) == len(drift.plan), lines
    for line, beginning in zip(lines, drift.plan, strict=True):
        assert line.startswith(beginning)
    run = deploy(deployed.name).ok()
    assert run.changed == list(drift.repairs)
    settled(deployed)
    after = containers(deployed)
    touched = {service for service in before if before[service] != after.get(service)}
    assert touched <= set(drift.restarted)
    assert _keys(deployed) == keys


def _keys(host: StagingHost) -> dict[str, str]:
    return {name: value for name, value in secrets(host).items() if "/" not in name}
