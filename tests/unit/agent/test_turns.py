"""Test which part of a cluster is missed, and how long a restart of an engine waits for it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import maintenance
from infisical_iac.agent.maintenance import DataCounts
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.fake_swarm import ETCD, NODES, SERVICES, member, swarm_answers


def _host(**answers: Any) -> FakeRunner:
    return FakeRunner(answers=swarm_answers(**answers))


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No test waits; the list has how long it would have."""
    times: list[float] = []
    monkeypatch.setattr(time, "sleep", times.append)
    return times


def test_a_complete_cluster_misses_nothing() -> None:
    assert maintenance.whole(_host(), *maintenance.PARTS) == ""


@pytest.mark.parametrize(
    ("answers", "missing"),
    [
        ({"nodes": NODES.replace('"Ready"', '"Down"', 1)}, "Down"),
        ({"nodes": NODES.replace('"Active"', '"Drain"', 1)}, "Drain"),
        ({"nodes": NODES.replace('"Reachable"', '"Unreachable"', 1)}, "Unreachable"),
        ({"services": SERVICES.replace("3/3", "2/3")}, "infisical_infisical 2/3"),
        ({"state": "locked"}, "locked"),
        ({"etcd": ETCD.replace("etcd-2 is healthy", "etcd-2 is unhealthy")}, "etcd 1,"),
        ({"patroni": member("leader", "running")}, "PostgreSQL 1,"),
        ({"patroni": "no JSON"}, "PostgreSQL 0,"),
        ({"nodes": Output(1, "", "no leader")}, "no leader"),
        ({"services": Output(1, "", "no leader")}, "no leader"),
        ({"info": Output(1, "", "Cannot connect")}, "Cannot connect"),
    ],
)
def test_what_a_cluster_lacks_is_named(answers: Mapping[str, Any], missing: str) -> None:
    assert missing in maintenance.whole(_host(**answers), *maintenance.PARTS)


@pytest.mark.parametrize("state", [{"state": "inactive"}, {"manages": False}])
def test_a_host_that_sees_no_cluster_misses_nothing(state: Mapping[str, Any]) -> None:
    assert maintenance.whole(_host(**state, nodes=Output(1)), *maintenance.PARTS) == ""


def test_data_services_are_counted_before_a_restart() -> None:
    assert maintenance.check_spare(_host(etcd=f"{ETCD}etcd-3 is healthy: took")) == DataCounts(3, 2)
    assert maintenance.check_spare(_host(containers=())) == DataCounts(0, 0)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"nodes": NODES.replace('"Ready"', '"Down"', 1)}, "another node"),
        ({}, "2 members of etcd"),
        ({"etcd": ""}, "0 members of etcd"),
    ],
)
def test_a_restart_that_would_end_a_majority_is_refused(
    answers: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(RuntimeError) as refused:
        maintenance.check_spare(_host(**answers))
    assert why in refused.value.args[0].message


@pytest.mark.parametrize(
    ("answers", "is_healthy"),
    [
        ({}, True),
        ({"etcd": "etcd-1 is healthy"}, False),
        ({"patroni": member("leader", "running", "replica", "starting")}, False),
        ({"nodes": NODES.replace('"Ready"', '"Down"', 1)}, False),
        ({"manages": False, "containers": ()}, False),
    ],
)
def test_as_many_data_services_as_before_are_waited_for(
    answers: Mapping[str, Any], is_healthy: bool, slept: list[float]
) -> None:
    if is_healthy:
        maintenance.await_health(_host(**answers), seconds=0, etcd=2, postgres=2)
    else:
        with pytest.raises(RuntimeError):
            maintenance.await_health(_host(**answers), seconds=0, etcd=2, postgres=2)
    assert slept == []


def test_services_that_were_missing_before_are_not_waited_for() -> None:
    host = _host(etcd="etcd-1 is healthy", patroni=member("leader", "running"))
    maintenance.await_health(host, seconds=0, etcd=1, postgres=1)


def test_the_swarm_gets_time_to_reach_a_node(slept: list[float]) -> None:
    states = iter(["down\n", "ready\n"])

    class Host(FakeRunner):
        def run(self, *_: Any, **__: Any) -> Output:
            return Output(0, next(states))

    maintenance.await_node(Host(), node="id1", seconds=5)
    assert slept == [1]
    with pytest.raises(RuntimeError) as missed:
        maintenance.await_node(_host(**{"docker node inspect": "down\n"}), node="id1", seconds=0)
    assert "journalctl" in missed.value.args[0].remedy


@pytest.mark.parametrize("stays_on", [False, True])
def test_a_reload_makes_a_restart_due(tmp_path: Path, stays_on: bool) -> None:
    answers = {
        "systemctl show": "@1795600800\n",
        "systemctl reload": "",
        "docker info": json.dumps(stays_on),
    }
    host = FakeRunner(tmp_path, answers=answers)
    config = host.write("/etc/docker/daemon.json", "{}")
    if stays_on:
        with pytest.raises(RuntimeError) as failed:
            maintenance.reload_engine(host, config="/etc/docker/daemon.json")
        assert "live-restore" in failed.value.args[0].message
        return
    maintenance.reload_engine(host, config="/etc/docker/daemon.json")
    assert config.stat().st_mtime == 1795600800
