"""Test that a cluster is observed as Docker, etcd and Patroni print its state.

The answers of etcdctl are those of a real etcd 3.5 with three members; Patroni's have the fields of
its 4.0; Docker's those of 26.1.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import swarm
from infisical_iac.agent.runner import Output
from infisical_iac.agent.swarm import ClusterFacts, ObservedNode, PostgresMember, VotingNode
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import FakeRunner, answer

_INFO = {
    "NodeID": "id-1",
    "NodeAddr": "10.0.0.1",
    "LocalNodeState": "active",
    "ControlAvailable": True,
    "Error": "",
    "RemoteManagers": [{"NodeID": "id-1", "Addr": "10.0.0.1:2377"}],
    "Nodes": 4,
    "Managers": 3,
}
_NO_QUORUM = {
    **_INFO,
    "Error": "rpc error: code = Unknown desc = The swarm does not have a leader.",
}
_ETCD = (
    '[{"endpoint":"https://etcd-1:2381","health":true,"took":"25.8909ms"},'
    '{"endpoint":"https://etcd-2:2381","health":true,"took":"24.923578ms"},'
    '{"endpoint":"https://etcd-3:2381","health":false,"took":"5.000306075s",'
    '"error":"context deadline exceeded"}]\n'
)
_PATRONI = {
    "members": [
        {
            "name": "postgres-1",
            "role": "leader",
            "state": "running",
            "api_url": "https://postgres-1:8008/patroni",
            "host": "postgres-1",
            "port": 5432,
            "timeline": 3,
        },
        {
            "name": "postgres-2",
            "role": "sync_standby",
            "state": "streaming",
            "api_url": "https://postgres-2:8008/patroni",
            "host": "postgres-2",
            "port": 5432,
            "timeline": 3,
            "lag": 1024,
        },
        {
            "name": "postgres-3",
            "role": "replica",
            "state": "stopped",
            "api_url": "https://postgres-3:8008/patroni",
            "lag": "unknown",
        },
    ],
    "scope": "infisical",
}
_SERVICES = [
    {
        "ID": "s1",
        "Mode": "replicated",
        "Name": "infisical_infisical",
        "Replicas": "2/3 (max 1 per node)",
        "Image": "infisical/infisical:v1",
        "Ports": "",
    },
    {"ID": "s2", "Mode": "global", "Name": "infisical_haproxy", "Replicas": "4/4", "Image": "h"},
]


def _node(number: int, **status: Any) -> dict[str, Any]:
    """Return a node as `docker node inspect` prints it; the fourth has no data."""
    manager = {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.1:2377"}
    labels = {"infisical.host": f"web-{number}"}
    if number < 4:
        labels["infisical.node"] = str(number)
    found: dict[str, Any] = {
        "ID": f"id-{number}",
        "Spec": {"Labels": labels, "Role": "worker", "Availability": "active"},
        "Description": {"Hostname": f"host-{number}"},
        "Status": {"State": "ready", "Addr": f"10.0.0.{number}"},
    }
    if number < 4:
        others = {"Reachability": "reachable", "Addr": f"10.0.0.{number}:2377"}
        found["ManagerStatus"] = manager if number == 1 else others
    found["Status"] |= status
    return found


def _container(name: str, created: str = "2026-11-25 11:00:00 +0000 UTC", **more: Any) -> str:
    state = {"id": name[:4], "image": "i:1", "created": created, "state": "running", **more}
    return json.dumps({"name": f"infisical_{name}", **state})


_CONTAINERS = [
    _container("etcd-1.1.abc"),
    _container("postgres-1.1.def"),
    _container("infisical.2.ghi", image="infisical/infisical:v1"),
    _container("infisical.2.jkl", "2026-11-25 10:59:00 +0000 UTC", state="exited"),
]


def _host(tmp_path: Path, nodes: list[dict[str, Any]], **answers: str | Output) -> FakeRunner:
    """Return a host; `answers` replace the output of programs, by its begin with underscores."""
    usual: dict[str, str | Output] = {
        "docker info": json.dumps(_INFO),
        "docker node ls": "".join(f"{each['ID']}\n" for each in nodes),
        "docker node inspect": "".join(f"{json.dumps(each)}\n" for each in nodes),
        "docker service ls": "".join(f"{json.dumps(each)}\n" for each in _SERVICES),
        "docker ps": "\n".join(_CONTAINERS),
        "docker exec etcd": Output(1, _ETCD),
        "docker exec post": json.dumps(_PATRONI),
        "openssl x509": "notAfter=Nov 25 12:00:00 2027 GMT\n",
    }
    named = {name.replace("_", " "): found for name, found in answers.items()}
    return FakeRunner(tmp_path, answers=usual | named)


_NODES = [_node(number) for number in (1, 2, 3, 4)]


def test_the_first_data_node_observes_the_whole_cluster(tmp_path: Path) -> None:
    host = _host(tmp_path, _NODES)
    host.write("/etc/infisical/tls/etcd-1.pem", "")
    found = swarm.observe(host)
    assert (found.is_manager, found.has_quorum, found.leads, found.reports) == (True,) * 4
    assert found.nodes[0] == ObservedNode("id-1", "web-1", 1, reachability="leader")
    assert found.nodes[3] == ObservedNode("id-4", "web-4")
    assert found.services == {"infisical": (2, 3), "haproxy": (4, 4)}
    assert found.etcd == {
        "https://etcd-1:2381": "",
        "https://etcd-2:2381": "",
        "https://etcd-3:2381": "context deadline exceeded",
    }
    assert found.postgres == (
        PostgresMember("postgres-1", "leader", "running"),
        PostgresMember("postgres-2", "sync_standby", "streaming", 1024),
        PostgresMember("postgres-3", "replica", "stopped"),
    )
    assert found.starts["infisical"] == (1795604340.0, 1795604400.0)
    assert found.images["infisical"] == "infisical/infisical:v1"
    assert found.certificate_ends == 1827144000.0


def test_one_node_reports_and_another_takes_its_place(tmp_path: Path) -> None:
    me = {"docker_info": json.dumps({**_INFO, "NodeID": "id-2"})}
    second = swarm.observe(_host(tmp_path, _NODES, **me))
    assert (second.reports, second.leads) == (False, False)
    assert (second.postgres, second.services) == (None, {})
    down = [_node(1, State="down"), *_NODES[1:]]
    assert swarm.observe(_host(tmp_path, down, **me)).reports


def test_a_worker_observes_only_its_own_containers(tmp_path: Path) -> None:
    info = json.dumps({"NodeID": "id-4", "LocalNodeState": "active", "ControlAvailable": False})
    found = swarm.observe(_host(tmp_path, _NODES, docker_info=info))
    assert (found.is_manager, found.reports, found.nodes) == (False, False, ())
    assert found.images["etcd-1"] == "i:1"


def test_each_manager_of_a_swarm_without_a_quorum_reports(tmp_path: Path) -> None:
    """etcd, which has lost its quorum too, prints no member."""
    found = swarm.observe(
        _host(
            tmp_path,
            [],
            docker_info=json.dumps(_NO_QUORUM),
            docker_exec_etcd=Output(1, "", "Error: failed to fetch endpoints"),
            docker_exec_post=Output(0, ""),
        )
    )
    assert (found.is_manager, found.has_quorum, found.reports) == (True, False, True)
    assert (found.etcd, found.postgres, found.services) == ({}, None, {})


def test_the_maintenance_that_a_node_announces_is_read(tmp_path: Path) -> None:
    node = _node(2)
    node["Spec"]["Labels"]["infisical.maintenance"] = "1795609000"
    found = swarm.observe(_host(tmp_path, [_NODES[0], node]))
    assert [each.maintained for each in found.nodes] == [0.0, 1795609000.0]


def test_a_host_whose_docker_does_not_answer_is_in_no_cluster(tmp_path: Path) -> None:
    assert swarm.observe(FakeRunner(tmp_path)) == ClusterFacts()


def test_a_manager_reports_votes_and_databases_for_the_removal_of_a_node(tmp_path: Path) -> None:
    nodes = [_node(1), _node(4)]
    host = _host(tmp_path, nodes, docker_service_ls="s1\ns2\n")
    found = answer(question(swarm.report), host)
    assert found.nodes == (VotingNode("host-1", 1, "reachable"), VotingNode("host-4", 0, ""))
    assert found.databases == 2
    assert found.postgres is not None
    assert (found.postgres[0].name, found.postgres[0].role) == ("postgres-1", "leader")


def test_a_report_without_patroni_has_no_members(tmp_path: Path) -> None:
    host = _host(tmp_path, [_node(1)], docker_exec_post="<html>", docker_service_ls="s1\n")
    assert answer(question(swarm.report), host).postgres is None


def test_a_host_that_is_no_manager_reports_nothing(tmp_path: Path) -> None:
    host = _host(tmp_path, [_node(1)], docker_node_ls=Output(1, errors="not a manager"))
    assert answer(question(swarm.report), host) == swarm.ClusterReport()


def test_an_unreadable_node_makes_the_report_fail(tmp_path: Path) -> None:
    """A node that is missing in the report would have no vote."""
    host = _host(tmp_path, [_node(1)], docker_node_inspect=Output(1, errors="gone"))
    with pytest.raises(RuntimeError):
        swarm.report(host)
