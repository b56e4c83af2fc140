"""Test how the stack on the Swarm differs from what is wanted."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from infisical_iac.cluster import stack_plan
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.cluster.stack_state import ClusterStackState, SwarmService
from tests.unit.cluster.stacks import NODES, SETTLED, WANTED


def _with(name: str, **changes: Any) -> ClusterStackState:
    service = replace(SETTLED.services[name], **changes)
    return replace(SETTLED, services={**SETTLED.services, name: service})


def _told(found: ClusterStackState, wanted: DesiredStack = WANTED) -> list[str]:
    return [str(item) for item in stack_plan.items(found, wanted)]


def test_a_settled_stack_tells_nothing() -> None:
    assert _told(SETTLED) == []


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (_with("infisical", desired=2, running=2, hash="cc"), "2 tasks instead of 3"),
        (_with("infisical", hash="cc"), "runs with another configuration"),
        (_with("infisical", running=1), "1 of 3 tasks run and are healthy"),
        (_with("infisical", update="paused"), "its update is paused"),
        (_with("infisical", update="rollback_started"), "its update is rollback started"),
        (_with("infisical", running=2, waiting=1), "2 of 3 tasks run and are healthy"),
    ],
)
def test_a_service_tells_how_it_differs(found: ClusterStackState, line: str) -> None:
    assert _told(found) == [f"~ service infisical: {line}"]


def test_a_rollback_that_ended_where_the_record_is_tells_nothing() -> None:
    assert _told(_with("infisical", update="rollback_completed")) == []


def test_what_waits_for_a_node_that_is_away_is_no_difference() -> None:
    nodes = (True, True, False)
    waits = replace(_with("infisical", running=2, waiting=1), nodes=nodes)
    assert _told(waits) == []
    fails = replace(_with("infisical", running=1, waiting=1), nodes=nodes)
    assert _told(fails) == ["~ service infisical: 1 of 3 tasks run and are healthy"]


def test_fewer_tasks_for_a_node_that_is_away_are_not_told_as_somebodys_doing() -> None:
    nodes = (True, True, False)
    found = replace(_with("haproxy", running=2, desired=2, hash="cc"), nodes=nodes)
    assert _told(found) == ["~ service haproxy: runs with another configuration"]
    assert _told(replace(found, nodes=NODES)) == ["~ service haproxy: 2 tasks instead of 3"]
    scaled = replace(_with("infisical", running=1, desired=1, hash="cc"), nodes=nodes)
    assert _told(scaled) == ["~ service infisical: 1 tasks instead of 3"]


def test_an_update_of_what_has_no_other_node_waits_for_the_one_that_is_away() -> None:
    nodes = (True, True, False)
    waits = _with("infisical", running=0, desired=1, waiting=1, update="updating")
    assert _told(replace(waits, nodes=nodes)) == []
    assert _told(waits) == ["~ service infisical: its update is updating"]
    # Swarm may have stopped at the task that no node takes, with the old ones still running.
    others = _with("infisical", running=2, waiting=1, update="updating")
    assert _told(replace(others, nodes=nodes)) == ["~ service infisical: its update is updating"]


def test_a_service_is_missing_or_foreign() -> None:
    services = {"infisical": SETTLED.services["infisical"], "miner": SwarmService(1, 1)}
    assert _told(replace(SETTLED, services=services)) == [
        "+ service haproxy",
        "- service miner: is not in stack.yaml",
    ]


def test_a_service_whose_part_of_the_file_changes_is_told() -> None:
    changed = replace(WANTED, text=WANTED.text.replace("image: haproxy", "image: haproxy:3"))
    assert _told(SETTLED, changed) == ["~ service haproxy: its part of stack.yaml changes"]


def test_a_service_changes_with_the_name_of_a_config_that_it_uses() -> None:
    text = yaml.safe_dump(
        {
            "services": {"haproxy": {"configs": [{"source": "cfg"}]}, "infisical": {}},
            "configs": {"cfg": {"name": "cfg_0123456789ab"}},
        }
    )
    wanted = replace(WANTED, text=text)
    changed = replace(WANTED, text=text.replace("cfg_0123456789ab", "cfg_ffffffffffff"))
    now, then = wanted.rendered(), changed.rendered()
    assert [name for name in now if now[name] != then[name]] == ["haproxy"]


def test_without_a_record_each_service_is_rolled_out_again() -> None:
    assert _told(replace(SETTLED, record={})) == [
        "~ service haproxy: was never rolled out to its end",
        "~ service infisical: was never rolled out to its end",
    ]


def test_secrets_and_configs_are_those_that_are_wanted() -> None:
    made = {
        "secret": frozenset({"infisical_env_ffffffffffff"}),
        "config": frozenset({"haproxy_cfg_0123456789ab", "haproxy_cfg_ffffffffffff"}),
    }
    assert _told(replace(SETTLED, made=made)) == [
        "+ secret infisical_env_0123456789ab",
        "- secret infisical_env_ffffffffffff: no service needs it any more",
        "- config haproxy_cfg_ffffffffffff: no service needs it any more",
    ]


@pytest.mark.parametrize(
    ("update", "asked", "back"),
    [
        ("rollback_completed", "new", ["infisical"]),
        ("rollback_completed", "aa", []),
        ("completed", "new", []),
    ],
)
def test_a_service_was_rolled_back_if_it_is_not_what_was_asked_for(
    update: str, asked: str, back: list[str]
) -> None:
    found = _with("infisical", update=update)
    assert stack_plan.find_rolled_back(found, {"infisical": asked, "haproxy": "bb"}) == back
