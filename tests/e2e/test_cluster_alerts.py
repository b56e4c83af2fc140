"""Test that each problem of a cluster is reported, once, within two minutes, and its end once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.cluster import waiting
from tests.cluster.hosts import INVENTORY, Cluster
from tests.e2e import backing, clusters
from tests.e2e.conftest import FirstDeploy
from tests.e2e.webhook import Alert, Receiver, receiver

pytestmark = pytest.mark.cluster
_NAME = "e2e-cluster-alerts"
_IGNORED = ("memory", "load", "swap", "units", "recovery_kit", "canary", "flapping")
# A cluster without a majority, or without a leader of PostgreSQL, serves nobody.
_FOLLOWING = frozenset({"replicas", "replication", "leader"})
_CONTAINER = "$(docker ps --quiet --filter name=infisical_{})"
_CONSTRAIN = (
    "docker service update --quiet --detach --constraint-{} node.labels.fake==1 "
    "infisical_sentinel-2"
)
_STOP_POSTGRES = f"docker exec {_CONTAINER.format('postgres')} pkill -INT -o -x postgres"
_CERTIFICATE = "/etc/infisical/tls/fake.pem"
_MAKE_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=fake -days 10 "
    f"-keyout /dev/null -out {_CERTIFICATE} 2>/dev/null"
)


@dataclass(frozen=True)
class _Watched:
    cluster: Cluster
    team: Receiver

    def run(self, number: int, command: str) -> None:
        self.cluster.host(number).run(command)


@dataclass(frozen=True)
class _Fault:
    """A fault of a cluster, its alerts, and the checks that may report what follows from it."""

    alerts: tuple[Alert, ...]
    begin: Callable[[_Watched], None]
    end: Callable[[_Watched], None]
    may_follow: frozenset[str] = frozenset()


def _leave_one(on: _Watched) -> None:
    on.cluster.kill(2)
    on.cluster.kill(3)


def _stop_leader(on: _Watched) -> None:
    number = on.cluster.primary()
    assert number is not None
    # Patroni would start it again, or elect another one.
    on.cluster.configure_patroni("pause", "true")
    on.run(number, _STOP_POSTGRES)


def _pause(role: str, number: int, alert: Alert) -> _Fault:
    """Return the fault that the container of a role does not answer on a host."""
    container = _CONTAINER.format(role)
    return _Fault(
        (alert,),
        lambda on: on.run(number, f"docker pause {container}"),
        lambda on: on.run(number, f"docker unpause {container}"),
    )


FAULTS = {
    "drained": _Fault(
        (("node", f"{_NAME}-3"),),
        lambda on: on.cluster.drain(3),
        lambda on: on.cluster.activate(3),
    ),
    "off": _Fault(
        (("node", f"{_NAME}-3"),), lambda on: on.cluster.kill(3), lambda on: on.cluster.start(3)
    ),
    "alone": _Fault(
        (("quorum", "swarm"), ("quorum", "etcd")),
        _leave_one,
        lambda on: on.cluster.start(2, 3),
        _FOLLOWING,
    ),
    "etcd": _pause("etcd", 2, ("etcd", "etcd-2")),
    "pending task": _Fault(
        (("replicas", "sentinel-2"),),
        lambda on: on.run(1, _CONSTRAIN.format("add")),
        lambda on: on.run(1, _CONSTRAIN.format("rm")),
    ),
    "leader": _Fault(
        (("leader", ""),),
        _stop_leader,
        lambda on: on.cluster.configure_patroni("pause", "null"),
        _FOLLOWING - {"leader"},
    ),
    "certificate": _Fault(
        (("cluster_certificate", ""),),
        lambda on: on.run(1, _MAKE_CERTIFICATE),
        lambda on: on.run(1, f"rm {_CERTIFICATE}"),
    ),
}


@pytest.fixture(scope="module")
def watched(first: FirstDeploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Watched]:
    """A cluster with the monitor.

    Its hosts have this machine's memory and load, and no kit; no DNS knows their public address;
    and the faults start their containers often.
    """
    with clusters.fresh(first, _NAME) as staging:
        clusters.bare(staging)
        with receiver(backing.gateway(staging.hosts[0])) as team:
            target = {"name": "team", "kind": "json", "to": team.url}
            own = backing.inventory(
                tmp_path_factory.mktemp("cluster"),
                INVENTORY,
                monitoring="on",
                alerts=(target,),
                alerts_ignored=_IGNORED,
                monitoring_listen={"networks": (f"{backing.gateway(staging.hosts[0])}/32",)},
            )
            yield _Watched(clusters.deploy_cluster(staging, own), team)


# Metrics of the host that reports for the cluster.
_OF_CLUSTER = ("node_ready", "etcd_healthy_members", "postgres_leader", "replication_lag_bytes")


def test_each_host_serves_its_own_metrics_and_one_those_of_the_cluster(watched: _Watched) -> None:
    waiting.whole(watched.cluster)
    served = [
        httpx.get(f"http://{host.place[1]}:9100/metrics", timeout=30).text
        for host in watched.cluster.staging.hosts
        if host.place
    ]
    assert len(served) == 3
    for name in ("node_load15 ", "infisical_monitor_run_timestamp_seconds "):
        assert [text for text in served if name not in text] == []
    (reporting,) = [text for text in served if "infisical_monitor_swarm_quorum 1" in text]
    assert [each for each in _OF_CLUSTER if f"infisical_monitor_{each}" not in reporting] == []
    verified = watched.cluster.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _break(on: _Watched, fault: _Fault) -> None:
    waiting.whole(on.cluster)
    on.team.received.clear()
    fault.begin(on)
    on.team.wait_for("begun", fault.alerts)
    fault.end(on)
    on.team.wait_for("ended", fault.alerts)
    on.team.assert_reported_once(fault.alerts, but=fault.may_follow)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_and_ended_once(watched: _Watched, name: str) -> None:
    _break(watched, FAULTS[name])


def test_a_standby_that_stops_following_is_reported_and_ended_once(watched: _Watched) -> None:
    waiting.whole(watched.cluster)
    primary = watched.cluster.primary()
    number = next(each for each in (3, 2) if each != primary)
    _break(watched, _pause("postgres", number, ("replication", f"postgres-{number}")))
