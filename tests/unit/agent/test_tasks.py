"""Test the observation and the repair of a node's tasks."""

import json
import os
import time
from pathlib import Path

import pytest

from infisical_iac.agent import tasks
from infisical_iac.agent.runner import Output
from infisical_iac.agent.tasks import Task
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer, docker_answers, docker_container

EDGE, _DATABASES, _CONSENSUS = "infisical-edge", "infisical-databases", "infisical-consensus"


def _in(*networks: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"Networks": {name: {} for name in networks}}


def test_the_tasks_of_a_node_are_read_with_their_networks(tmp_path: Path) -> None:
    """On a full disk Docker may list a container that has ended."""
    containers = [
        docker_container("a1", swarm="infisical_redis-2", NetworkSettings=_in(_DATABASES)),
        docker_container(
            "b2",
            swarm="infisical_postgres-2",
            state="paused",
            NetworkSettings=_in(_CONSENSUS, _DATABASES),
        ),
        docker_container("c3", swarm="infisical_etcd-2", state="dead"),
        docker_container("d4", swarm="infisical_etcd-2", state="exited"),
        docker_container("e5", swarm="infisical_etcd-2", state="created"),
    ]
    host = FakeRunner(tmp_path, answers=docker_answers(*containers))
    assert answer(question(tasks.inspect), host) == (
        Task("redis-2", "a1", "running", frozenset({_DATABASES})),
        Task("postgres-2", "b2", "paused", frozenset({_CONSENSUS, _DATABASES})),
        Task("etcd-2", "c3", "dead", frozenset()),
    )
    listed = next(call for call, _ in host.ran if call.startswith("docker ps"))
    assert "--filter label=com.docker.stack.namespace=infisical" in listed


def test_a_node_without_docker_has_no_tasks(tmp_path: Path) -> None:
    assert answer(question(tasks.inspect), FakeRunner(tmp_path)) == ()


@pytest.mark.parametrize(
    ("age", "another", "status"),
    [
        (0, True, "running"),
        (300, True, "unready"),
        (300, False, "running"),
        (None, True, "running"),
    ],
)
def test_a_replica_that_lost_its_database_is_found(
    tmp_path: Path, age: int | None, another: bool, status: str
) -> None:
    """A restart helps only if another replica has the database.

    Replicas of older versions do not record when they were ready.
    """
    containers = [
        docker_container("i1", swarm="infisical_infisical"),
        docker_container("r1", swarm="infisical_redis-2"),
    ]
    asked = {"docker exec i1 curl": Output(0 if another else 22)}
    host = FakeRunner(tmp_path, answers={**asked, **docker_answers(*containers)})
    if age is not None:
        # Process 7 is the replica's.
        ready = host.write("/proc/7/root/dev/shm/ready", "")
        os.utime(ready, (time.time() - age,) * 2)
    found = answer(question(tasks.inspect), host)
    assert [(each.id, each.status) for each in found] == [("i1", status), ("r1", "running")]


@pytest.mark.parametrize("is_worker", [False, True])
def test_a_node_queries_the_networks_of_services_by_name(tmp_path: Path, is_worker: bool) -> None:
    networks = [{"ID": "n1", "Name": EDGE}, {"ID": "n2", "Name": _DATABASES}]
    services = [
        {
            "Name": "infisical_haproxy",
            "TaskTemplate": {"Networks": [{"Target": "n1"}, {"Target": "n2"}]},
        },
        {"Name": "infisical_infisical", "TaskTemplate": {"Networks": [{"Target": "gone"}]}},
        {"Name": "infisical_redis-2", "TaskTemplate": {}},
    ]
    host = FakeRunner(
        tmp_path,
        answers={
            "docker network ls": "".join(f"{json.dumps(each)}\n" for each in networks),
            "docker service ls": Output(1) if is_worker else Output(0, "s1\ns2\ns3\n"),
            "docker service inspect": "".join(f"{json.dumps(each)}\n" for each in services),
        },
    )
    known = {
        "haproxy": frozenset({EDGE, _DATABASES}),
        "infisical": frozenset({"gone"}),
        "redis-2": frozenset[str](),
    }
    assert answer(question(tasks.list_attached), host) == ({} if is_worker else known)


def test_paused_tasks_are_resumed_and_others_re_created_by_swarm(tmp_path: Path) -> None:
    host = FakeRunner(
        tmp_path,
        answers={
            "docker inspect --format {{.State.Status}} p1": "paused\n",
            "docker inspect": "running\n",
            "docker stop d1": Output(1),
            "docker": "",
        },
    )
    tasks.free(host, containers=["p1", "r1", "d1"])
    assert [call for call, _ in host.ran if "inspect" not in call] == [
        *("docker unpause p1", "docker stop r1", "docker stop d1", "docker rm --force d1"),
    ]
