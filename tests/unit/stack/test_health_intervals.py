"""The host's scripts wait longer than a health check takes: the numbers are in two languages."""

import re
from typing import Any

import pytest
import yaml

from infisical_iac.core.rendering import script_file
from infisical_iac.host.model import MachineState
from infisical_iac.stack.compose_file import compose_file
from tests.unit import rendered_stack
from tests.unit.settings_of import settings_of

# Docker of the first knows `start_interval`, that of the second does not.
_MACHINES = [MachineState(os="debian", release=release) for release in ("13", "12")]
each_machine = pytest.mark.parametrize("machine", _MACHINES)


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def _longest(services: dict[str, Any]) -> int:
    """The seconds from one check's end to that of the next, of the service that takes longest."""
    checks = [each["healthcheck"] for each in services.values() if "healthcheck" in each]
    assert checks
    return max(_seconds(each["interval"]) + _seconds(each["timeout"]) for each in checks)


def _on_host(machine: MachineState) -> int:
    return _longest(yaml.safe_load(compose_file(settings_of(), machine))["services"])


def _wait_seconds(script: str, function: str) -> float:
    """The seconds that a function waits in a loop of so many attempts."""
    [body] = re.findall(rf"(?ms)^{function}\(\) \{{\n.*?^\}}", script_file(script))
    [attempts] = re.findall(r"in \$\(seq (\d+)\)", body)
    [pause] = re.findall(r"\bsleep ([\d.]+)", body)
    return int(attempts) * float(pause)


@each_machine
def test_a_container_that_was_just_started_has_time_for_its_first_check(
    machine: MachineState,
) -> None:
    assert _wait_seconds("stack", "state") > _on_host(machine)


@each_machine
def test_a_container_that_goes_on_has_time_for_its_next_check(machine: MachineState) -> None:
    assert _wait_seconds("stack", "resume") > _on_host(machine)


@each_machine
def test_a_task_that_was_just_started_has_time_for_its_first_check(machine: MachineState) -> None:
    services = rendered_stack.render(machine, ingress="caddy")["services"]
    [limit] = re.findall(
        r"limit=\$\(\(\$\(date \+%s\) \+ (\d+)\)\) ended_before", script_file("cluster-stack")
    )
    assert int(limit) > _longest(services)


@each_machine
def test_a_replica_is_not_unready_before_its_next_check_but_one(machine: MachineState) -> None:
    """Of two checks in a row that both take their longest, the second one may be the good one."""
    services = rendered_stack.render(machine)["services"]
    [limit] = re.findall(r"-gt (\d+)", script_file("readiness"))
    assert int(limit) >= 2 * _longest({"infisical": services["infisical"]})
