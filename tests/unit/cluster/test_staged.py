"""Test the order in which the services of the stack are rolled out."""

from dataclasses import replace

import pytest
import yaml

from infisical_iac.agent.membership import SwarmState
from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState, Recorded
from infisical_iac.cluster import stack_plan
from infisical_iac.cluster.stack_plan import DesiredStack
from tests.unit.cluster.stacks import NODES
from tests.unit.clusters import site

PINNED = [f"{what}-{number}" for number in (1, 2, 3) for what in ("etcd", "postgres")]
DATA = DesiredStack(
    yaml.safe_dump({"services": {name: {"image": name} for name in ["haproxy", *PINNED]}}),
    {},
    frozenset(),
)


def _describe_running(desired: DesiredStack) -> ClusterStackState:
    rendered = desired.hash_services()
    services = {name: SwarmService(1, 1, hash=name) for name in rendered}
    record = {name: Recorded(name, each, 1) for name, each in rendered.items()}
    return ClusterStackState(True, True, services=services, record=record)


def _stages(found: ClusterStackState, desired: DesiredStack) -> list[list[str]]:
    return [sorted(names) for names in stack_plan.plan_stages(found, desired)]


def test_a_first_roll_out_has_no_stages() -> None:
    assert stack_plan.plan_stages(ClusterStackState(), DATA) == []


def test_data_nodes_change_one_after_the_other() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd", "image: new-etcd"))
    assert _stages(_describe_running(DATA), changed) == [
        ["etcd-1"],
        ["etcd-2"],
        ["etcd-3"],
    ]


def test_a_part_of_the_services_keeps_other_sections_of_the_file() -> None:
    text = "networks: {edge: {}}\nservices: {a: {image: a}, b: {image: b}}\n"
    assert yaml.safe_load(stack_plan.select_services(text, {"b"})) == {
        "networks": {"edge": {}},
        "services": {"b": {"image": "b"}},
    }


NODE_PER_TASK = """
services:
  infisical:
    image: infisical
    deploy:
      replicas: 3
      placement: {max_replicas_per_node: 1}
      update_config: {order: stop-first, parallelism: 1}
  haproxy: {image: haproxy, deploy: {mode: global}}
"""
ONE_DOWN = (True, True, False)


def _change_images(text: str) -> tuple[ClusterStackState, DesiredStack]:
    """Return the running stack, and a desired stack with other images."""
    desired = DesiredStack(text, {}, frozenset())
    return _describe_running(desired), replace(desired, text=text.replace("image: ", "image: new-"))


def test_services_with_a_node_per_task_change_first_on_active_nodes() -> None:
    found, desired = _change_images(NODE_PER_TASK)
    assert _stages(replace(found, nodes=NODES), desired) == []
    assert _stages(replace(found, nodes=ONE_DOWN), desired) == [["infisical"]]
    converged = replace(desired, text=NODE_PER_TASK)
    assert _stages(replace(found, nodes=ONE_DOWN), converged) == []


def test_services_with_a_node_per_task_change_after_data_nodes() -> None:
    pinned = "".join(f"  etcd-{n}: {{image: etcd}}\n" for n in (1, 2))
    found, desired = _change_images(NODE_PER_TASK + pinned)
    stages = _stages(replace(found, nodes=ONE_DOWN), desired)
    assert stages == [["etcd-1"], ["etcd-2"], ["infisical"]]


@pytest.mark.parametrize(
    ("nodes", "replicas", "order", "expected"),
    [
        (NODES, 3, "stop-first", (3, "stop-first")),
        (ONE_DOWN, 3, "stop-first", (2, "stop-first")),
        (ONE_DOWN, 2, "stop-first", (2, "stop-first")),
        # With start-first, no node would be free for the next task.
        (ONE_DOWN, 2, "start-first", (2, "stop-first")),
        ((NODES[0], *ONE_DOWN), 2, "start-first", (2, "start-first")),
        ((), 3, "stop-first", (3, "stop-first")),
    ],
)
def test_a_partial_roll_out_omits_tasks_without_a_node(
    nodes: tuple[bool, ...], replicas: int, order: str, expected: tuple[int, str]
) -> None:
    text = NODE_PER_TASK.replace("replicas: 3", f"replicas: {replicas}")
    part = stack_plan.select_services(
        text.replace("stop-first", order), {"infisical", "haproxy"}, nodes
    )
    services = yaml.safe_load(part)["services"]
    deploy = services["infisical"]["deploy"]
    assert (deploy["replicas"], deploy["update_config"]["order"]) == expected
    assert services["haproxy"] == {"image": "haproxy", "deploy": {"mode": "global"}}


def test_services_without_a_node_per_task_keep_all_tasks() -> None:
    text = NODE_PER_TASK.replace("placement: {max_replicas_per_node: 1}", "placement: {}")
    found, desired = _change_images(text)
    assert _stages(replace(found, nodes=ONE_DOWN), desired) == []
    part = yaml.safe_load(stack_plan.select_services(text, {"infisical"}, ONE_DOWN))
    assert part["services"]["infisical"]["deploy"]["replicas"] == 3


def test_a_single_changed_data_node_changes_with_the_rest() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd-2", "image: new"))
    assert stack_plan.plan_stages(_describe_running(DATA), changed) == []


def test_missing_services_come_before_other_nodes_change() -> None:
    changed = replace(DATA, text=DATA.text.replace("image: etcd-2", "image: new"))
    found = _describe_running(DATA)
    found = replace(found, services={k: v for k, v in found.services.items() if k != "etcd-1"})
    assert _stages(found, changed)[:2] == [["etcd-1"], ["etcd-2"]]


def _list_first(
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
    assert _list_first(ClusterStackState(), 2) == expected
    # An interrupted run had rolled out these services.
    started = {
        name: service
        for name, service in _describe_running(DATA).services.items()
        if name in expected
    }
    assert _list_first(ClusterStackState(services=started), 2) == expected


def test_no_service_starts_first_with_data_on_all_or_no_nodes() -> None:
    assert _list_first(ClusterStackState()) == []
    assert _list_first(ClusterStackState(), 1, 2, 3) == []
    # The host that replaces the third has no data yet.
    assert _list_first(_describe_running(DATA), 1, 2) == []


def test_a_reset_etcd_is_rolled_out_first_and_at_once() -> None:
    assert _list_first(_describe_running(DATA), 1, 2, 3, reset=True) == [
        "etcd-1",
        "etcd-2",
        "etcd-3",
    ]
    with_last = ["etcd-1", "etcd-2", "etcd-3", "postgres-2"]
    assert _list_first(_describe_running(DATA), 1, 2, 3, reset=True, first=2) == with_last
    changed = replace(DATA, text=DATA.text.replace("image: etcd", "image: new-etcd"))
    etcd = frozenset({"etcd-1", "etcd-2", "etcd-3"})
    assert stack_plan.plan_stages(_describe_running(DATA), changed, etcd) == []


def test_the_only_postgres_left_by_a_killed_run_starts_first_with_etcd() -> None:
    expected = ["etcd-1", "etcd-2", "etcd-3", "postgres-2"]
    running = _describe_running(DATA)
    started = {name: service for name, service in running.services.items() if name in expected}
    found = replace(running, services=started)
    # Somebody has removed the other services by hand.
    assert _list_first(found, 1, 2, 3) == []
    old = {name: replace(was, hash="before") for name, was in running.record.items()}
    assert _list_first(replace(found, record=old), 1, 2, 3) == expected
    both = {name: running.services[name] for name in (*expected, "postgres-1")}
    assert _list_first(replace(running, services=both, record=old), 1, 2, 3) == []
