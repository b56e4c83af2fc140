"""Test differences of the stack's networks, their services, and their re-creation."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from infisical_iac.agent.services import SwarmService
from infisical_iac.agent.swarm_stack import ClusterStackState, Network, Recorded
from infisical_iac.agent.tasks import Task
from infisical_iac.cluster import site as cluster_site
from infisical_iac.cluster import stack, stack_file, stack_plan
from infisical_iac.cluster.site import desired_stack
from infisical_iac.cluster.stack_plan import DesiredStack
from infisical_iac.core.agent import Question
from tests.unit.clusters import site

_SITE = site()
PLAIN, ENCRYPTED = (
    desired_stack(replace(_SITE, cluster=replace(_SITE.cluster, esp=esp)), ClusterStackState()).text
    for esp in (False, True)
)
_MTU = {"com.docker.network.driver.mtu": "1350"}
# Docker adds the number of the VXLAN.
_DOCKERS = {"com.docker.network.driver.overlay.vxlanid_list": "4097"}
FOUND = {
    "infisical-consensus": Network(True, {**_MTU, **_DOCKERS}, ("172.31.241.0/24",)),
    "infisical-databases": Network(True, {**_MTU, **_DOCKERS}, ("172.31.242.0/24",)),
    "infisical-edge": Network(False, {**_MTU, **_DOCKERS}, ("172.31.243.0/24",)),
}
EDGE = "infisical-edge"


def _list_changes(found: dict[str, Network], text: str) -> list[str]:
    """Return the changes, without their effect on Infisical."""
    return [str(each).partition("; ")[0] for each in stack_file.list_network_changes(found, text)]


def test_networks_that_match_the_file_are_not_a_difference() -> None:
    assert _list_changes(FOUND, PLAIN) == []
    encrypted = {
        name: replace(each, options={**each.options, "encrypted": ""})
        for name, each in FOUND.items()
    }
    assert _list_changes(encrypted, ENCRYPTED) == []
    assert _list_changes({}, PLAIN) == []


def test_an_unencrypted_network_that_could_be_encrypted_is_reported() -> None:
    assert _list_changes(FOUND, ENCRYPTED) == [
        f"~ network infisical-{name}: not encrypted → encrypted"
        for name in ("consensus", "databases", "edge")
    ]


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (replace(FOUND[EDGE], options={**_MTU, "encrypted": ""}), "encrypted → not encrypted"),
        (replace(FOUND[EDGE], internal=True), "internal → open to the outside"),
        (replace(FOUND[EDGE], options={}), "com.docker.network.driver.mtu (none) → 1350"),
        (replace(FOUND[EDGE], subnets=("10.0.1.0/24",)), "subnet 10.0.1.0/24 → 172.31.243.0/24"),
    ],
)
def test_the_differences_of_a_network_are_reported(network: Network, why: str) -> None:
    output = _list_changes({**FOUND, EDGE: network}, PLAIN)
    assert output == [f"~ network {EDGE}: {why}"]


def test_only_the_services_of_a_network_are_stopped() -> None:
    assert stack_file.network_users(PLAIN, frozenset({EDGE})) == {"haproxy", "infisical"}
    in_consensus = stack_file.network_users(PLAIN, frozenset({"infisical-consensus"}))
    assert {name.rpartition("-")[0] for name in in_consensus} == {"etcd", "postgres"}
    assert stack_file.network_users(PLAIN, frozenset()) == frozenset()


def test_running_services_are_started_unchanged_in_the_new_network() -> None:
    old = PLAIN.replace("NODE_ENV: production", "NODE_ENV: earlier")
    whole = yaml.safe_load(stack_file.with_networks(old, ENCRYPTED))
    assert whole["networks"] == yaml.safe_load(ENCRYPTED)["networks"]
    assert whole["services"] == yaml.safe_load(old)["services"]


def test_the_record_of_re_created_services_is_renewed_and_hides_no_difference() -> None:
    found = ClusterStackState(
        services={
            name: SwarmService(1, 1, hash=name) for name in ("haproxy", "infisical", "caddy")
        },
        record={
            "haproxy": Recorded("haproxy", "of haproxy", 3),
            "infisical": Recorded("another", "of infisical", 3),
            "caddy": Recorded("caddy", "of caddy", 3),
        },
    )
    asked = dict.fromkeys(("haproxy", "infisical", "caddy"), "new")
    assert stack_plan.renew_record(found, asked, {"haproxy", "infisical"}) == {
        **found.record,
        "haproxy": Recorded("new", "of haproxy", 3),
    }


_STEPS_BY_NETWORK = {
    EDGE: ["part haproxy infisical"],
    "infisical-databases": ["part DATA", "networks.await_master 120", "part haproxy infisical"],
    "infisical-consensus": ["part DATA", "networks.await_master 120"],
}


def _call(asked: Question[Any]) -> str:
    """Return the name of a call of the agent, with its arguments."""
    (call,) = asked.calls
    given = json.loads(call.arguments).values()
    return f"{call.name} " + "; ".join(
        " ".join(each) if isinstance(each, list) else str(each) for each in given
    )


@pytest.mark.parametrize("name", _STEPS_BY_NETWORK)
def test_services_are_removed_before_a_network_is_re_created_and_start_after_databases(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    steps: list[str] = []
    other = replace(FOUND[name], internal=not FOUND[name].internal)
    found = ClusterStackState(networks={**FOUND, name: other})
    users = stack_file.network_users(PLAIN, frozenset({name}))

    def run(command: str, **_: str) -> str:
        steps.append(command)
        return PLAIN if command.startswith("cat") else ""

    def part(text: str, names: frozenset[str], _: int) -> dict[str, str]:
        there = {*yaml.safe_load(text)["services"]} & names
        assert there == names
        data = stack_plan.databases(PLAIN) & users
        steps.append("part DATA" if there == data else f"part {' '.join(sorted(there))}")
        return dict.fromkeys(names, "new")

    monkeypatch.setattr(stack, "run", run)
    monkeypatch.setattr(stack, "ask", lambda asked: steps.append(_call(asked)))
    monkeypatch.setattr(stack, "perform", lambda asked, **_: steps.append(_call(asked)))
    monkeypatch.setattr(stack, "write", lambda path, _: steps.append(f"write {path}"))
    monkeypatch.setattr(cluster_site, "read_stack_again", lambda _: found)
    monkeypatch.setattr(
        cluster_site, "desired_stack", lambda *_: DesiredStack(PLAIN, {}, frozenset())
    )
    monkeypatch.setattr(stack, "roll_out_part", part)
    monkeypatch.setattr(stack, "wait_for_majority", lambda: steps.append("wait for a majority"))
    stack._recreate_networks(site())
    services = " ".join(f"infisical_{each}" for each in sorted(users))
    assert steps == [
        "cat /etc/infisical/stack.yaml",
        f"networks.remove {name}; {services}",
        *_STEPS_BY_NETWORK[name],
        "wait for a majority",
        "write /etc/infisical/stack.json",
    ]


_DATABASES, _CONSENSUS = "infisical-databases", "infisical-consensus"


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Task("redis-2", "id", "running", frozenset({_DATABASES})), ""),
        (Task("caddy", "id", "running", frozenset({"host"})), ""),
        (Task("gone", "id", "paused", frozenset()), ""),
        (Task("redis-2", "id", "paused", frozenset({_DATABASES})), "is paused"),
        (Task("redis-2", "id", "dead", frozenset({_DATABASES})), "is dead"),
        (Task("redis-2", "id", "unready", frozenset({_DATABASES})), "PostgreSQL or Redis"),
        (Task("redis-2", "id", "running", frozenset()), "network databases"),
        (Task("postgres-1", "id", "running", frozenset({_CONSENSUS})), "network databases"),
    ],
)
def test_a_stuck_task_that_swarm_considers_healthy_is_reported(task: Task, reason: str) -> None:
    stuck = stack_file.find_stuck([task], PLAIN)
    assert [*stuck] == ([task] if reason else [])
    assert reason in stuck.get(task, "")


_WITHOUT_NETWORKS = Task("redis-2", "id", "running", frozenset())


def test_a_task_whose_service_was_detached_is_left_to_the_roll_out() -> None:
    """New tasks would be in the same networks, and all of them would stop at once."""
    detached = {"redis-2": frozenset({_CONSENSUS})}
    assert stack_file.find_stuck([_WITHOUT_NETWORKS], PLAIN, detached) == {}
    paused = replace(_WITHOUT_NETWORKS, status="paused")
    assert stack_file.find_stuck([paused], PLAIN, detached) == {paused: "is paused"}
    attached = {"redis-2": frozenset({_DATABASES}), "redis-1": frozenset[str]()}
    stuck = stack_file.find_stuck([_WITHOUT_NETWORKS], PLAIN, attached)
    assert [*stuck] == [_WITHOUT_NETWORKS]
    assert stuck[_WITHOUT_NETWORKS].endswith(" databases")
