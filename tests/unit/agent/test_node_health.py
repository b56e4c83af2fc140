"""Test the part of a node's health that concerns the cluster."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import node_health
from infisical_iac.agent.node_health import NodeFacts
from infisical_iac.agent.runner import Output
from infisical_iac.cluster.stack_state import make_node_state
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container
from tests.unit.health_rows import observed

_PASSWORD = "obviously-fake-password"
_SERVICES = ("etcd-1", "postgres-1", "redis-1", "sentinel-1", "infisical")
_CONTAINERS = [
    *(
        docker_container(f"{name}-id", swarm=f"infisical_{name}", health="healthy")
        for name in _SERVICES
    ),
    # On a full disk Docker may list a container that has ended.
    docker_container("ended", swarm="infisical_postgres-1", state="exited", health="starting"),
]
_NODES: list[dict[str, Any]] = [
    {
        "Spec": {
            "Labels": {"infisical.host": "one", "infisical.node": "1"},
            "Availability": "active",
        },
        "Description": {"Hostname": "h1"},
        "Status": {"State": "ready"},
        "ManagerStatus": {"Leader": True, "Reachability": "reachable"},
    },
    {
        "Spec": {"Availability": "drain"},
        "Description": {"Hostname": "four"},
        "Status": {"State": "down"},
    },
]
_SPECS = [
    {"Name": "infisical_etcd-1", "Labels": {"infisical.tls": "2"}},
    {"Name": "infisical_infisical", "Labels": {"infisical.tls": "3"}},
    {"Name": "infisical_caddy", "Labels": {}},
]
_ROWS = [
    ["role", "primary"],
    ["copy", "postgres-2", "streaming", "sync", 0],
    ["given-up", "infisical_given_up_x", "2026-11-25T10:12:00Z 3 image"],
]


def _lines(found: list[Any]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in found)


_ANSWERS: dict[str, str | Output] = {
    "docker node ls": "id1\nid4\n",
    "docker node inspect": _lines(_NODES),
    "docker exec postgres-1-id psql": _lines(_ROWS),
    "docker exec etcd-1-id etcdctl": "",
    "docker exec --interactive redis-1-id": "master\n0\n",
    "docker exec --interactive sentinel-1-id": "redis-1\n6379\n",
    "docker service ls": "s1\ns2\ns3\n",
    "docker service inspect": _lines(_SPECS),
    **docker_answers(*_CONTAINERS),
}


def _node(tmp_path: Path, changes: Mapping[str, str | Output] = {}) -> FakeRunner:
    host = FakeRunner(tmp_path, answers={**_ANSWERS, **changes})
    host.write("/etc/infisical/keys/redis_password", f"{_PASSWORD}\n")
    return host


def _facts(host: FakeRunner) -> NodeFacts:
    return answer(question(node_health.facts), host)


def test_a_node_reports_its_whole_health(tmp_path: Path) -> None:
    found = _facts(_node(tmp_path))
    assert [(each.name, each.trouble) for each in found.members] == [("one", ""), ("four", "down")]
    assert [(each.manager, each.number) for each in found.members] == [("leader", 1), ("-", 0)]
    assert [task.health for task in found.tasks["postgres"]] == ["healthy"]
    assert [(copy.name, copy.sync) for copy in found.copies] == [("postgres-2", "sync")]
    said = (found.postgres, found.etcd, found.redis, found.sentinel)
    assert said == ("primary", "healthy", "master", "redis-1")
    assert (found.tls, found.leaf_ends) == (2, None)
    (given_up,) = make_node_state(found, observed()).health.given_up
    assert (given_up.name, given_up.since, given_up.writes) == (
        "infisical_given_up_x",
        "2026-11-25T10:12:00Z",
        3,
    )


def test_the_password_of_redis_is_only_in_standard_input(tmp_path: Path) -> None:
    host = _node(tmp_path)
    _facts(host)
    assert not any(_PASSWORD in call for call, _ in host.ran)
    given = [call for call, stdin in host.ran if stdin == f"{_PASSWORD}\n"]
    assert len(given) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ('{"com.docker.network.driver.mtu":"1350","encrypted":""}', "encrypted"),
        ('{"com.docker.network.driver.mtu":"1350"}', "plain"),
        ("", ""),
    ],
)
def test_a_node_reports_whether_the_overlay_is_encrypted(
    tmp_path: Path, options: str, expected: str
) -> None:
    assert _facts(_node(tmp_path, {"docker network inspect": options})).overlay == expected


@pytest.mark.parametrize(
    ("broken", "what", "expected"),
    [
        ("docker exec postgres-1-id psql", "postgres", "silent"),
        ("docker exec etcd-1-id etcdctl", "etcd", "unhealthy"),
        ("docker exec --interactive redis-1-id", "redis", ""),
    ],
)
def test_a_silent_service_is_reported(
    tmp_path: Path, broken: str, what: str, expected: str
) -> None:
    assert getattr(_facts(_node(tmp_path, {broken: Output(1)})), what) == expected


def test_a_node_without_docker_reports_the_rest(tmp_path: Path) -> None:
    found = _facts(FakeRunner(tmp_path))
    assert found == NodeFacts()


def test_a_replica_that_has_lost_its_database_is_not_healthy(tmp_path: Path) -> None:
    """Swarm considers a replica healthy while it answers."""
    host = _node(tmp_path)
    ready = host.write("/proc/7/root/dev/shm/ready", "")
    assert [task.health for task in _facts(host).tasks["infisical"]] == ["healthy"]
    os.utime(ready, (0, 0))
    assert [task.health for task in _facts(host).tasks["infisical"]] == ["unready"]
