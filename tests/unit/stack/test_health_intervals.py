"""Test that what waits for a health check on the host waits longer than one takes."""

from typing import Any

import pytest
import yaml

from infisical_iac.agent import stack, tasks
from infisical_iac.agent.swarm_stack import STARTING_SECONDS
from infisical_iac.host.model import MachineState
from infisical_iac.stack.compose import compose_file
from tests.unit import rendered_stack
from tests.unit.settings_of import settings_of

# Docker on Debian 13 knows `start_interval`, Docker on Debian 12 does not.
_MACHINES = [MachineState(os="debian", release=release) for release in ("13", "12")]
each_machine = pytest.mark.parametrize("machine", _MACHINES)


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def _longest(services: dict[str, Any]) -> int:
    """Return the seconds from check to check of the service with the longest interval."""
    checks = [each["healthcheck"] for each in services.values() if "healthcheck" in each]
    assert checks
    return max(_seconds(each["interval"]) + _seconds(each["timeout"]) for each in checks)


def _on_host(machine: MachineState) -> int:
    return _longest(yaml.safe_load(compose_file(settings_of(), machine))["services"])


@each_machine
def test_a_container_that_was_just_started_has_time_for_its_first_check(
    machine: MachineState,
) -> None:
    assert _on_host(machine) < stack.START_SECONDS


@each_machine
def test_a_resumed_container_has_time_for_its_next_check(machine: MachineState) -> None:
    assert _on_host(machine) < stack.RESUME_SECONDS


@each_machine
def test_a_task_that_was_just_started_has_time_for_its_first_check(machine: MachineState) -> None:
    services = rendered_stack.render(machine, ingress="caddy")["services"]
    assert _longest(services) < STARTING_SECONDS


@each_machine
def test_a_replica_is_not_unready_before_its_second_check(machine: MachineState) -> None:
    """Two checks in a row may take their full time, and the second one may succeed."""
    services = rendered_stack.render(machine)["services"]
    assert 2 * _longest({"infisical": services["infisical"]}) <= tasks.READY_SECONDS
