"""The answers of a fake Docker that is a manager of a cluster, with etcd and PostgreSQL."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import docker_answers, docker_container

_STATES = (("Ready", "Leader"), ("Ready", "Reachable"), ("Ready", "Reachable"), ("Ready", ""))


def _lines(objects: Iterable[Mapping[str, str]]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in objects)


# As `docker node ls` and `docker service ls` print them.
NODES = _lines(
    {"Hostname": f"n{number}", "Status": status, "Availability": "Active", "ManagerStatus": role}
    for number, (status, role) in enumerate(_STATES)
)
SERVICES = _lines(
    {"Name": f"infisical_{name}", "Replicas": replicas}
    for name, replicas in {
        "etcd-1": "1/1",
        "etcd-2": "1/1",
        "infisical": "3/3 (max 1 per node)",
        "postgres-1": "1/1",
        "postgres-2": "1/1",
    }.items()
)
ETCD = "etcd-1 is healthy: took\netcd-2 is healthy: took\n"
_CONTAINERS = (
    docker_container("etcdid", swarm="infisical_etcd-1"),
    docker_container("pgid", swarm="infisical_postgres-1"),
)


def member(*words: str) -> str:
    """Return Patroni's answer on members with these roles and states."""
    pairs = zip(words[::2], words[1::2], strict=True)
    return json.dumps({"members": [{"role": role, "state": state} for role, state in pairs]})


def swarm_answers(
    *,
    state: str = "active",
    manages: bool = True,
    nodes: str | Output = NODES,
    services: str | Output = SERVICES,
    etcd: str = ETCD,
    patroni: str = member("leader", "running", "sync_standby", "streaming"),
    containers: Sequence[Mapping[str, Any]] = _CONTAINERS,
    info: str | Output = "",
    **more: str | Output,
) -> dict[str, str | Output]:
    """Return the answers; `info` replaces the one of the swarm's state."""
    swarm = {"LocalNodeState": state, "ControlAvailable": manages}
    return {
        **more,
        "docker info": info or json.dumps(swarm),
        "docker node ls": nodes,
        "docker service ls": services,
        "docker exec etcdid": etcd,
        "docker exec pgid": patroni,
        **docker_answers(*containers),
    }
