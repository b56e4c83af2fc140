"""Test the order in which the services of the stack are rolled out."""

from dataclasses import replace

import pytest
import yaml

from infisical_iac.cluster import stack_plan
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.cluster.stack_state import (
    ClusterStackState,
    Recorded,
    SwarmService,
)
from infisical_iac.cluster.swarm_state import SwarmState
from tests.unit.cluster.stacks import NODES
from tests.unit.clusters import site

PINNED = [f"{what}-{number}" for number in (1, 2, 3) for what in ("etcd", "postgres")]
DATA = DesiredStack(
    yaml.safe_dump({"services": {name: {"image": name} for name in ["haproxy", *PINNED]}}),
    {},
    frozenset(),
)


def _running(desired: DesiredStack) -> ClusterStackState:
    rendered = desired.hash_services()
    services = {name: SwarmService(1, 1, hash=name) for name in rendered}
    record = {name: Recorded(name, each, 1) for name, each in rendered.items()}
    return ClusterStackState(True, True, services=services, record=record)


def _stages(found: ClusterStackState, desired: DesiredStack) -> list[list[str]]:
    return [sorted(names) for names in stack_plan.plan_stages(found, desired)]


def test_a_first_roll_out_is_complete_at_once() -> None:
    assert stack_plan.plan_stages(ClusterStackState(), DATA) == []


def test_data_nodes_change_one_after_the_other() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd", "image: new-etcd"))
    assert _stages(_running(DATA), changed) == [
        ["etcd-1"],
        ["etcd-2"],
        ["etcd-3"],
    ]


def test_a_part_keeps_the_rest_of_the_file() -> None:
    text = "networks: {edge: {}}\nservices: {a: {image: a}, b: {image: b}}\n"
    assert yaml.safe_load(stack_plan.select_services(text, {"b"})) == {
        "networks": {"edge": {}},
        "services": {"b": {"image": "b"}},
    }


EACH_ITS_OWN = """
services:
  infisical:
    image: infisical
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 1}
      update_config: {order: stop-first, parallelism: 1}
  haproxy: {image: haproxy, deploy: {mode: global}}
"""
AWAY = (True, True, False)


def _change_images(text: str) -> tuple[ClusterStackState, DesiredStack]:
    """Return the running stack, and the same with other images."""
    desired = DesiredStack(text, {}, frozenset())
    return _running(desired), replace(desired, text=text.replace("image: ", "image: new-"))


def test_services_with_a_node_per_task_change_first_on_active_nodes() -> None:
    found, desired = _change_images(EACH_ITS_OWN)
    assert _stages(replace(found, nodes=NODES), desired) == []
    assert _stages(replace(found, nodes=AWAY), desired) == [["infisical"]]
    settled = replace(desired, text=EACH_ITS_OWN)
    assert _stages(replace(found, nodes=AWAY), settled) == []


def test_services_with_a_node_per_task_change_after_data_nodes() -> None:
    pinned = "".join(f"  etcd-{n}: {{image: etcd}}\n" for n in (1, 2))
    found, desired = _change_images(EACH_ITS_OWN + pinned)
    stages = _stages(replace(found, nodes=AWAY), desired)
    assert stages == [["etcd-1"], ["etcd-2"], ["infisical"]]


@pytest.mark.parametrize(
    ("nodes", "replicas", "order", "expected"),
    [
        (NODES, 3, "stop-first", (3, "stop-first")),
        (AWAY, 3, "stop-first", (2, "stop-first")),
        (AWAY, 2, "stop-first", (2, "stop-first")),
        # With start-first, no node would be free for the next task.
        (AWAY, 2, "start-first", (2, "stop-first")),
        ((NODES[0], *AWAY), 2, "start-first", (2, "start-first")),
        ((), 3, "stop-first", (3, "stop-first")),
    ],
)
def test_a_part_omits_tasks_without_a_node(
    nodes: tuple[bool, ...], replicas: int, order: str, expected: tuple[int, str]
) -> None:
    text = EACH_ITS_OWN.replace("replicas: 3", f"replicas: {replicas}")
    part = stack_plan.select_services(
        text.replace("stop-first", order), {"infisical", "haproxy"}, nodes
    )
    services = yaml.safe_load(part)["services"]
    deploy = services["infisical"]["deploy"]
    assert (deploy["replicas"], deploy["update_config"]["order"]) == expected
    assert services["haproxy"] == {"image": "haproxy", "deploy": {"mode": "global"}}


def test_services_without_a_node_per_task_keep_all_tasks() -> None:
    text = EACH_ITS_OWN.replace("placement: {max_replicas_per_node: 1}", "placement: {}")
    found, desired = _change_images(text)
    assert _stages(replace(found, nodes=AWAY), desired) == []
    part = yaml.safe_load(stack_plan.select_services(text, {"infisical"}, AWAY))
    assert part["services"]["infisical"]["deploy"]["replicas"] == 3


def test_a_single_changed_data_node_changes_with_the_rest() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd-2", "image: new"))
    assert stack_plan.plan_stages(_running(DATA), changed) == []


def test_missing_services_come_before_other_nodes_change() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd-2", "image: new"))
    found = _running(DATA)
    found = replace(found, services={k: v for k, v in found.services.items() if k != "etcd-1"})
    assert _stages(found, changed)[:2] == [["etcd-1"], ["etcd-2"]]


def _leading(
    found: ClusterStackState, *holders: int, reset: bool = False, first: int = 0
) -> list[str]:
    known = site().cluster
    nodes = tuple(
        replace(node, seen=SwarmState(data=node.number in holders)) for node in known.nodes
    )
    known = replace(known, nodes=nodes, is_etcd_reset=reset, first=first)
    return sorted(stack_plan.choose_first(found, DATA, known))


def test_a_postgres_with_data_starts_before_empty_ones() -> None:
    expected = ["etcd-1", "etcd-2", "etcd-3", "postgres-2"]
    assert _leading(ClusterStackState(), 2) == expected
    # A run that died in between had rolled these out.
    started = {
        name: service for name, service in _running(DATA).services.items() if name in expected
    }
    assert _leading(ClusterStackState(services=started), 2) == expected


def test_with_data_on_all_or_no_nodes_none_starts_first() -> None:
    assert _leading(ClusterStackState()) == []
    assert _leading(ClusterStackState(), 1, 2, 3) == []
    # A replacement host of the third has nothing yet.
    assert _leading(_running(DATA), 1, 2) == []


def test_a_reset_etcd_is_rolled_out_first_and_at_once() -> None:
    assert _leading(_running(DATA), 1, 2, 3, reset=True) == ["etcd-1", "etcd-2", "etcd-3"]
    with_last = ["etcd-1", "etcd-2", "etcd-3", "postgres-2"]
    assert _leading(_running(DATA), 1, 2, 3, reset=True, first=2) == with_last
    changed = replace(DATA, text=DATA.text.replace("image: etcd", "image: new-etcd"))
    etcd = frozenset({"etcd-1", "etcd-2", "etcd-3"})
    assert stack_plan.plan_stages(_running(DATA), changed, etcd) == []


def test_the_only_postgres_left_by_a_killed_run_starts_first_with_etcd() -> None:
    expected = ["etcd-1", "etcd-2", "etcd-3", "postgres-2"]
    running = _running(DATA)
    started = {name: service for name, service in running.services.items() if name in expected}
    found = replace(running, services=started)
    # Somebody else has removed them.
    assert _leading(found, 1, 2, 3) == []
    old = {name: replace(was, hash="before") for name, was in running.record.items()}
    assert _leading(replace(found, record=old), 1, 2, 3) == expected
    both = {name: running.services[name] for name in (*expected, "postgres-1")}
    assert _leading(replace(running, services=both, record=old), 1, 2, 3) == []
