"""Test that drifts are planned exactly, and that apply repairs them and nothing else."""

import pytest

from tests.e2e.conftest import assert_converged
from tests.e2e.drifts import DRIFTS, LONG, TOGETHER
from tests.e2e.inspection import containers, secrets
from tests.e2e.running import deploy, plan_changes
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_ALONE = {name: (name,) for name in DRIFTS if name not in sum(TOGETHER.values(), ())}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(names, id=id, marks=[pytest.mark.long] if id in LONG else [])
        for id, names in {**_ALONE, **TOGETHER}.items()
    ],
)
def test_the_plan_names_the_drift_and_apply_repairs_it_and_nothing_else(
    deployed_host: StagingHost, names: tuple[str, ...]
) -> None:
    drifts = [DRIFTS[name] for name in names]
    before, keys = containers(deployed_host), _keys(deployed_host)
    for drift in drifts:
        drift.cause(deployed_host)
    status, lines = plan_changes(deployed_host.name)
    assert status == 2
    expected = [beginning for drift in drifts for beginning in drift.plan]
    assert [_find(lines, beginning) for beginning in expected] == expected
    assert len(lines) == len(expected), lines
    run = deploy(deployed_host.name).ok()
    assert sorted(run.changed) == sorted({each for drift in drifts for each in drift.repairs})
    assert_converged(deployed_host)
    after = containers(deployed_host)
    touched = {service for service in before if before[service] != after.get(service)}
    assert touched <= {service for drift in drifts for service in drift.restarted}
    assert _keys(deployed_host) == keys


def _find(lines: list[str], beginning: str) -> str:
    """Return the beginning if one line has it; else all lines, for the failure's output."""
    return beginning if sum(line.startswith(beginning) for line in lines) == 1 else repr(lines)


def _keys(host: StagingHost) -> dict[str, str]:
    return {name: value for name, value in secrets(host).items() if "/" not in name}
