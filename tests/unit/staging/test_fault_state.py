"""Test which state of a cluster must be the same after a fault, and which may differ."""

import json
import re
from typing import Any

import pytest

from tests.cluster import state

HEALTH = """\
http://etcd-1:2379 is healthy: successfully committed proposal: took = 2.1ms
http://etcd-3:2379 is healthy: successfully committed proposal: took = 2.4ms
http://etcd-2:2379 is unhealthy: failed to commit proposal: context deadline exceeded
"""


def service(**changes: Any) -> state.State:
    container = {
        "Image": "infisical:1",
        "Args": ["--initial-cluster-token=infisical"],
        "Configs": [{"ConfigName": "patroni_yml_0a1b", "ConfigID": "id-1"}],
        "Secrets": [{"SecretName": "patroni_env_2c3d", "SecretID": "id-2"}],
        **changes.pop("container", {}),
    }
    output = {
        "Name": "infisical_postgres-1",
        "Mode": {"Replicated": {"Replicas": 1}},
        "TaskTemplate": {"ContainerSpec": container, "ForceUpdate": 0},
        **changes,
    }
    return state.service(json.dumps(output), {"infisical_postgres-1": "1/1"})


def node(availability: str = "active", leads: bool = False, **labels: str) -> state.State:
    output = {
        "ID": "some",
        "Spec": {
            "Role": "manager",
            "Availability": availability,
            "Labels": {f"infisical.{name}": value for name, value in labels.items()},
        },
        "Description": {"Hostname": "a-1"},
        "Status": {"State": "ready", "Addr": "10.0.0.1"},
        "ManagerStatus": {"Reachability": "reachable", **({"Leader": True} if leads else {})},
    }
    return state.node(json.dumps(output))


def test_a_service_is_compared_by_replicas_image_configs_and_secrets() -> None:
    (output,) = service().values()
    replicas, running, *names = output.split(", ")
    assert (replicas.split()[0], running.split()[0]) == ("1", "1/1")
    assert names == ["infisical:1", "patroni_yml_0a1b", "patroni_env_2c3d"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Mode": {"Replicated": {"Replicas": 2}}},
        {"Mode": {"Global": {}}},
        {"container": {"Image": "infisical:2"}},
        {"container": {"Configs": [{"ConfigName": "by-hand", "ConfigID": "id-1"}]}},
        {"container": {"Configs": None}},
    ],
)
def test_a_changed_service_is_a_difference(changes: dict[str, Any]) -> None:
    before, after = service(), service(**changes)
    (name,) = before
    assert state.differences(before, after) == [f"{name}: {before[name]} → {after[name]}"]


def test_ids_and_the_initial_token_of_etcd_may_differ() -> None:
    other = service(
        container={
            "Args": ["--initial-cluster-token=infisical-1"],
            "Configs": [{"ConfigName": "patroni_yml_0a1b", "ConfigID": "id-9"}],
        }
    )
    assert state.differences(service(), other) == []
    before = node(host="a", node="1", joined="existing")
    assert state.differences(before, node(leads=True, host="a", node="1", etcd="1")) == []


def test_a_changed_or_missing_node_is_a_difference() -> None:
    before, after = node(host="a", node="1"), node("drain", host="a", node="1")
    (name,) = before
    was, now = before[name].split(", "), after[name].split(", ")
    assert [pair for pair in zip(was, now, strict=True) if len({*pair}) > 1] == [
        ("active", "drain")
    ]
    assert state.differences(before, after) == [f"{name}: {before[name]} → {after[name]}"]
    assert len(state.differences(before, node(host="a"))) == 1
    assert state.differences(before, {})[0].endswith(" → not there")


def test_the_sentinels_must_name_the_same_master() -> None:
    different = state.redis(["redis-1\n6379\n", "redis-2\n6379\n", ""])
    assert different == {"Redis": "masters none and redis-1 and redis-2"}
    assert state.redis(["redis-1\n6379\n"] * 3) != different


def _numbers(line: str) -> tuple[str, list[int], list[int]]:
    """Return the name in a line of differences, and the numbers before and after."""
    name, _, states = line.partition(": ")
    was, now = ([int(each) for each in re.findall(r"\d+", part)] for part in states.split(" → "))
    return name, was, now


def test_data_nodes_are_complete_with_one_primary_two_standbys_and_three_members() -> None:
    replica, other, down = "flags\nslave\n", "flags\nsentinel\n", "flags\ns_down,slave\n"
    sees = f"name\nredis-2:6379\n{replica}{replica}{other}{other}"
    found = {
        **state.postgres(1, ["streaming|sync", "streaming|async"]),
        **state.redis(["redis-2\n6379\n"] * 3),
        **state.etcd(HEALTH.replace("unhealthy", "healthy")),
        **{key: how for number in (1, 2, 3) for key, how in state.sentinel(number, sees).items()},
    }
    assert state.differences(state.healthy_state((1, 2, 3)), found) == []
    less = {
        **found,
        **state.postgres(1, ["streaming|async", "catchup|async"]),
        **state.etcd(HEALTH),
        **state.sentinel(2, replica + down + other),
    }
    assert [_numbers(each) for each in state.differences(found, less)] == [
        ("PostgreSQL", [1, 2, 1], [1, 1, 0]),
        ("etcd", [3], [2]),
        ("sentinel-2", [3, 2], [2, 1]),
    ]
