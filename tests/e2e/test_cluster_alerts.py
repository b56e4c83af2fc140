"""Test that each problem of a cluster is reported, once, within two minutes, and its end once."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from infisical_iac.agent.table import CHECKS, OF_CLUSTER
from tests.cluster import waiting
from tests.cluster.hosts import INVENTORY, Cluster
from tests.e2e import backing, clusters
from tests.e2e.conftest import FirstDeploy
from tests.e2e.webhook import Receiver, receiver

pytestmark = pytest.mark.cluster
_NAME = "e2e-cluster-alerts"
_IGNORED = ("memory", "load", "swap", "units", "recovery_kit", "canary", "flapping")
_MOST_SECONDS, _MOST_SECONDS_TO_END = 120, 300
# A cluster without a majority, or without a leader of PostgreSQL, serves nobody.
_FOLLOWING = {"replicas", "replication", "leader"}
_CONTAINER = "$(docker ps --quiet --filter name=infisical_{})"
_PATCH = r"""
docker exec $(docker ps --quiet --filter name=infisical_postgres) sh -c '. /run/secrets/env
    echo "user = \"patroni:$PATRONI_PASSWORD\"" | curl --config - --silent --show-error --fail \
        --request PATCH --data "{\"pause\": PAUSED}" ${REST:-http}://127.0.0.1:8008/config'
"""
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
    """A fault of a cluster; the subject of an alert may depend on who leads."""

    alerts: tuple[tuple[str, str], ...]
    begin: Callable[[_Watched], None]
    end: Callable[[_Watched], None]
    may_follow: frozenset[str] = frozenset()


def _cut(on: _Watched, *numbers: int) -> None:
    for number in numbers:
        on.cluster.kill(number)


def _stop_leader(on: _Watched) -> None:
    number = on.cluster.primary()
    assert number is not None
    on.run(number, _PATCH.replace("PAUSED", "true"))
    on.run(number, _STOP_POSTGRES)


def _start_leader(on: _Watched) -> None:
    on.run(1, _PATCH.replace("PAUSED", "null"))


FAULTS = {
    "drained": _Fault(
        (("node", f"{_NAME}-3"),),
        lambda on: on.cluster.drain(3),
        lambda on: on.run(1, f"docker node update --availability active staging-{_NAME}-3"),
    ),
    "off": _Fault(
        (("node", f"{_NAME}-3"),), lambda on: _cut(on, 3), lambda on: on.cluster.start(3)
    ),
    "alone": _Fault(
        (("quorum", "swarm"), ("quorum", "etcd")),
        lambda on: _cut(on, 2, 3),
        lambda on: on.cluster.start(2, 3),
        frozenset(_FOLLOWING),
    ),
    "etcd": _Fault(
        (("etcd", "etcd-2"),),
        lambda on: on.run(2, f"docker pause {_CONTAINER.format('etcd')}"),
        lambda on: on.run(2, f"docker unpause {_CONTAINER.format('etcd')}"),
    ),
    "pending task": _Fault(
        (("replicas", "sentinel-2"),),
        lambda on: on.run(
            1,
            "docker service update --quiet --detach --constraint-add node.labels.fake==1 "
            "infisical_sentinel-2",
        ),
        lambda on: on.run(
            1,
            "docker service update --quiet --detach --constraint-rm node.labels.fake==1 "
            "infisical_sentinel-2",
        ),
    ),
    "leader": _Fault(
        (("leader", ""),), _stop_leader, _start_leader, frozenset(_FOLLOWING - {"leader"})
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
            )
            yield _Watched(clusters.deploy_cluster(staging, own), team)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_and_ended_once(watched: _Watched, name: str) -> None:
    fault = FAULTS[name]
    waiting.whole(watched.cluster)
    watched.team.received.clear()
    fault.begin(watched)
    _wait_for(watched, "begun", fault, _MOST_SECONDS)
    fault.end(watched)
    _wait_for(watched, "ended", fault, _MOST_SECONDS_TO_END)
    _assert_sent_once(watched, fault)


def test_a_standby_that_stops_following_is_reported_and_ended_once(watched: _Watched) -> None:
    waiting.whole(watched.cluster)
    watched.team.received.clear()
    primary = watched.cluster.primary()
    number = next(each for each in (3, 2) if each != primary)
    fault = _Fault(
        (("replication", f"postgres-{number}"),),
        lambda on: on.run(number, f"docker pause {_CONTAINER.format('postgres')}"),
        lambda on: on.run(number, f"docker unpause {_CONTAINER.format('postgres')}"),
    )
    fault.begin(watched)
    _wait_for(watched, "begun", fault, _MOST_SECONDS)
    fault.end(watched)
    _wait_for(watched, "ended", fault, _MOST_SECONDS_TO_END)
    _assert_sent_once(watched, fault)


def _list_sent(on: _Watched) -> list[tuple[str, tuple[str, str]]]:
    return [(each["phase"], (each["check"], each["subject"])) for each in on.team.received]


def _wait_for(on: _Watched, phase: str, fault: _Fault, seconds: float) -> None:
    missing, begin = {*fault.alerts}, time.monotonic()
    while missing and time.monotonic() - begin < seconds:
        time.sleep(0.5)
        missing -= {alert for each, alert in _list_sent(on) if each == phase}
    print(f"{phase} after {time.monotonic() - begin:.0f} s")
    assert missing == set(), on.team.received


def _assert_sent_once(on: _Watched, fault: _Fault) -> None:
    sent = [each for each in _list_sent(on) if each[1][0] not in fault.may_follow]
    assert Counter(sent) == Counter(
        (phase, each) for phase in ("begun", "ended") for each in fault.alerts
    ), on.team.received


def test_each_check_of_a_cluster_is_caused() -> None:
    caused = {check for fault in FAULTS.values() for check, _ in fault.alerts} | {"replication"}
    of_cluster = {*OF_CLUSTER, "quorum", "cluster_certificate"}
    assert caused == of_cluster
    assert of_cluster <= {each.name for each in CHECKS}
