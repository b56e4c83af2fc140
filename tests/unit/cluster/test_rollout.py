"""Test the differences between the actual and the desired stack."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState
from infisical_iac.cluster import stack_plan
from infisical_iac.cluster.stack_plan import DesiredStack
from tests.unit.cluster.stacks import CONVERGED, DESIRED, NODES


def _with(name: str, **changes: Any) -> ClusterStackState:
    service = replace(CONVERGED.services[name], **changes)
    return replace(CONVERGED, services={**CONVERGED.services, name: service})


def _lines(found: ClusterStackState, desired: DesiredStack = DESIRED) -> list[str]:
    return [str(item) for item in stack_plan.list_changes(found, desired)]


def test_a_converged_stack_has_an_empty_plan() -> None:
    assert _lines(CONVERGED) == []


_ONE_DOWN = (True, True, False)
_IS_UPDATING = "~ service infisical: its update is updating"
# The lines of the plan, by the cause of the difference.
_CAUSES: dict[str, tuple[ClusterStackState, DesiredStack, list[str]]] = {
    "somebody scaled a service": (
        _with("infisical", desired=2, running=2, hash="cc"),
        DESIRED,
        ["~ service infisical: 2 tasks instead of 3"],
    ),
    "somebody updated a service": (
        _with("infisical", hash="cc"),
        DESIRED,
        ["~ service infisical: runs with another configuration"],
    ),
    "a task is not healthy": (
        _with("infisical", running=1),
        DESIRED,
        ["~ service infisical: 1 of 3 tasks run and are healthy"],
    ),
    "an update is paused": (
        _with("infisical", update="paused"),
        DESIRED,
        ["~ service infisical: its update is paused"],
    ),
    "an update is being rolled back": (
        _with("infisical", update="rollback_started"),
        DESIRED,
        ["~ service infisical: its update is rollback started"],
    ),
    "a task waits though all nodes are ready": (
        _with("infisical", running=2, waiting=1),
        DESIRED,
        ["~ service infisical: 2 of 3 tasks run and are healthy"],
    ),
    "a task waits for a node that is down": (
        replace(_with("infisical", running=2, waiting=1), nodes=_ONE_DOWN),
        DESIRED,
        [],
    ),
    "one task waits for a node that is down and another one fails": (
        replace(_with("infisical", running=1, waiting=1), nodes=_ONE_DOWN),
        DESIRED,
        ["~ service infisical: 1 of 3 tasks run and are healthy"],
    ),
    "an updated service has fewer tasks because a node is down": (
        replace(_with("haproxy", running=2, desired=2, hash="cc"), nodes=_ONE_DOWN),
        DESIRED,
        ["~ service haproxy: runs with another configuration"],
    ),
    "somebody scaled a service that runs on each node": (
        replace(_with("haproxy", running=2, desired=2, hash="cc"), nodes=NODES),
        DESIRED,
        ["~ service haproxy: 2 tasks instead of 3"],
    ),
    "somebody scaled a service by more than a node that is down": (
        replace(_with("infisical", running=1, desired=1, hash="cc"), nodes=_ONE_DOWN),
        DESIRED,
        ["~ service infisical: 1 tasks instead of 3"],
    ),
    "an update waits for the only node that could run it": (
        replace(
            _with("infisical", running=0, desired=1, waiting=1, update="updating"), nodes=_ONE_DOWN
        ),
        DESIRED,
        [],
    ),
    "an update waits though all nodes are ready": (
        _with("infisical", running=0, desired=1, waiting=1, update="updating"),
        DESIRED,
        [_IS_UPDATING],
    ),
    # Swarm may have stopped at the task that no node can run, while old tasks still run.
    "an update waits for a node that is down and old tasks run on others": (
        replace(_with("infisical", running=2, waiting=1, update="updating"), nodes=_ONE_DOWN),
        DESIRED,
        [_IS_UPDATING],
    ),
    "a service is missing and another one is foreign": (
        replace(
            CONVERGED,
            services={"infisical": CONVERGED.services["infisical"], "miner": SwarmService(1, 1)},
        ),
        DESIRED,
        ["+ service haproxy", "- service miner: is not in stack.yaml"],
    ),
    "a service's part of stack.yaml changes": (
        CONVERGED,
        replace(DESIRED, text=DESIRED.text.replace("image: haproxy", "image: haproxy:3")),
        ["~ service haproxy: its part of stack.yaml changes"],
    ),
    "no roll-out has been recorded": (
        replace(CONVERGED, record={}),
        DESIRED,
        [
            "~ service haproxy: was never rolled out completely",
            "~ service infisical: was never rolled out completely",
        ],
    ),
    "secrets and configs differ": (
        replace(
            CONVERGED,
            made={
                "secret": frozenset({"infisical_env_ffffffffffff"}),
                "config": frozenset({"haproxy_cfg_0123456789ab", "haproxy_cfg_ffffffffffff"}),
            },
        ),
        DESIRED,
        [
            "+ secret infisical_env_0123456789ab",
            "- secret infisical_env_ffffffffffff: no service needs it any more",
            "- config haproxy_cfg_ffffffffffff: no service needs it any more",
        ],
    ),
}


@pytest.mark.parametrize("cause", _CAUSES)
def test_each_cause_has_its_lines_in_the_plan(cause: str) -> None:
    found, desired, lines = _CAUSES[cause]
    assert _lines(found, desired) == lines


def test_a_completed_rollback_to_the_recorded_service_is_not_a_difference() -> None:
    assert _lines(_with("infisical", update="rollback_completed")) == []


def test_a_service_changes_with_the_name_of_a_config_that_it_uses() -> None:
    text = yaml.safe_dump(
        {
            "services": {"haproxy": {"configs": [{"source": "cfg"}]}, "infisical": {}},
            "configs": {"cfg": {"name": "cfg_0123456789ab"}},
        }
    )
    desired = replace(DESIRED, text=text)
    changed = replace(DESIRED, text=text.replace("cfg_0123456789ab", "cfg_ffffffffffff"))
    now, then = desired.hash_services(), changed.hash_services()
    assert [name for name in now if now[name] != then[name]] == ["haproxy"]


@pytest.mark.parametrize(
    ("update", "asked", "back"),
    [
        ("rollback_completed", "new", ["infisical"]),
        ("rollback_completed", "aa", []),
        ("completed", "new", []),
    ],
)
def test_a_service_that_differs_from_the_requested_one_was_rolled_back(
    update: str, asked: str, back: list[str]
) -> None:
    found = _with("infisical", update=update)
    assert stack_plan.find_rolled_back(found, {"infisical": asked, "haproxy": "bb"}) == back
