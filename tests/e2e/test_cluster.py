"""Test a cluster of three hosts: converged, drifted and repaired, and its own failovers."""

import json
import os
import re
import time
from collections.abc import Iterator

import pytest

from tests.cluster import waiting
from tests.cluster.client import Client
from tests.cluster.faults import FAULTS, etcd_broken
from tests.cluster.hosts import INVENTORY, Cluster
from tests.cluster.injection import inject
from tests.cluster.place import Place
from tests.e2e import clusters, commanding
from tests.e2e.backing import inventory
from tests.e2e.conftest import FirstDeploy

_NAME = "e2e-cluster"
# A real server copies the names of a folder at each write: 2,700 writes of the faults' client are
# 1 GB of PostgreSQL's data, and as much of its log.
_DISK_GB = 9
# Sentinels exchange their state every two seconds.
_HELLOS_SECONDS = 8
_GIVEN, _TOKEN = "GITHUB_API_TOKEN", "fa$ke 'github' token"
# The factor of all time limits: in `make test`, other hosts use this machine's processors too.
_BESIDE_OTHERS = 3 if "PYTEST_XDIST_WORKER" in os.environ else 1
# A manually made configuration, whose content differs by one line.
_REPLACE_CONFIG = """
service=infisical_sentinel-2
name=$(docker config ls --format '{{.Name}}' | grep ^sentinel_sh_)
{ docker config inspect --format '{{printf "%s" .Spec.Data}}' $name; echo '# by hand'; } |
    docker config create by-hand - >/dev/null
docker service update --quiet --detach --config-rm $name \
    --config-add source=by-hand,target=/etc/sentinel.sh $service
"""
# The first half of the runbook "Two of three lost", except the copy.
_FORGET_SWARM = """
systemctl stop docker.socket docker.service
rm -rf /var/lib/docker/swarm && echo new >/etc/infisical/swarm
systemctl start docker.socket docker.service
"""
# Swarm reports neither of these faults, because both tasks still run.
_PAUSE = "docker pause $(docker ps --quiet --filter name=infisical_infisical)"
_DISCONNECT = """
docker network disconnect --force infisical-databases \
    $(docker ps --quiet --filter name=infisical_sentinel)
"""
# The names of other containers don't resolve in the sentinel's, as just after a host has booted.
_NAMES = """
nsenter --net=$(docker inspect --format '{{{{.NetworkSettings.SandboxKey}}}}' \
    $(docker ps --quiet --filter name=infisical_sentinel)) \
    iptables --{} OUTPUT --destination 127.0.0.11 --jump REJECT
"""
_SENTINEL = """sh -c '. /run/secrets/env
    REDISCLI_AUTH=$REDIS_PASSWORD redis-cli $CLI -p 26379 sentinel {} infisical | head -n 1'"""
_SYNC = "etcdctl get --consistency=s --print-value-only /patroni/infisical/sync"


@pytest.fixture(scope="module")
def cluster(first: FirstDeploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three deployed hosts, whose Infisical starts as slowly as a real one.

    Only the first deploy is given the value of a variable of Infisical.
    """
    own = inventory(tmp_path_factory.mktemp("cluster"), INVENTORY, infisical_secrets=(_GIVEN,))
    with clusters.fresh(first, _NAME) as staging:
        clusters.bare(staging, _DISK_GB)
        yield clusters.deploy_cluster(staging, own, {_GIVEN: _TOKEN})


@pytest.mark.real
def test_the_second_run_changes_nothing(cluster: Cluster) -> None:
    run = cluster.deploy().ok()
    assert run.changed == []
    assert len(run.unchanged) >= 27


@pytest.mark.cluster
@pytest.mark.real
def test_drifts_are_planned_and_repaired_in_one_run(cluster: Cluster) -> None:
    leader = cluster.host(1)
    cluster.drain(3)
    leader.run("docker service scale --detach infisical_infisical=1")
    leader.run("docker node update --label-rm infisical.host staging-e2e-cluster-2")
    leader.run(_REPLACE_CONFIG)
    # A write is then acknowledged once it is on one node.
    cluster.configure_patroni("synchronous_mode", "false")
    planned = cluster.plan()
    for expected in (
        f"~ node {_NAME}-2: infisical.host (none) → {_NAME}-2",
        f"~ node {_NAME}-3: drained → active",
        "~ service infisical: 1 tasks instead of 3",
        "~ service sentinel-2: runs with another configuration",
        "~ patroni synchronous_mode: false → true",
    ):
        assert expected in planned, planned
    cluster.deploy().ok()
    assert cluster.plan() == []
    leader.run("docker config rm by-hand")


@pytest.mark.cluster
@pytest.mark.real
def test_a_paused_and_a_disconnected_task_are_reported_and_repaired(cluster: Cluster) -> None:
    waiting.whole(cluster)
    cluster.host(2).run(_PAUSE)
    cluster.host(3).run(_DISCONNECT)
    planned = cluster.plan()
    for expected in (
        "~ container infisical: is paused",
        "~ container sentinel-3: not connected to network databases",
    ):
        assert expected in planned, planned
    cluster.deploy().ok()
    assert cluster.plan() == []


@pytest.mark.cluster
@pytest.mark.real
def test_a_sentinel_that_missed_a_failover_finds_the_new_master_by_itself(cluster: Cluster) -> None:
    """The sentinel got a name that did not resolve, and gets no further message."""
    waiting.whole(cluster)

    def masters() -> list[str]:
        asked = _SENTINEL.format("get-master-addr-by-name")
        return [cluster.inside(n, f"sentinel-{n}", asked) for n in cluster.numbers]

    (old,) = set(masters())
    cluster.host(3).run(_NAMES.format("append"))
    assert cluster.inside(1, "sentinel-1", _SENTINEL.format("failover")) == "OK"
    waiting.until(lambda: "" if len({*masters()[:2], old}) == 2 else "a new master of Redis")
    new = masters()[0]
    time.sleep(_HELLOS_SECONDS)
    cluster.host(3).run(_NAMES.format("delete"))
    time.sleep(_HELLOS_SECONDS)
    assert masters() == [new, new, old], "the third was informed again"
    # They may agree on either server. The third sentinel takes the old one for the master, and may
    # have made the new one its replica; the other two then start another failover.
    waiting.until(lambda: "" if len(set(masters())) == 1 else "three sentinels that agree")
    assert cluster.plan() == []


@pytest.mark.cluster
@pytest.mark.real
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_loses_no_write_and_service_recovers_by_itself(
    cluster: Cluster, fault: str
) -> None:
    result = inject(cluster, fault)
    assert result.wrong == []
    assert result.late(_BESIDE_OTHERS) == []


@pytest.mark.cluster
@pytest.mark.real
def test_verify_passes_after_all_faults(cluster: Cluster) -> None:
    done = cluster.command("verify")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.cluster
@pytest.mark.real
def test_replicas_that_crash_repeatedly_are_reported_without_waiting(cluster: Cluster) -> None:
    """As on a first deploy, there is no rollback; 32 MB are too few for any server."""
    waiting.whole(cluster)
    cluster.host(1).run("docker service rm infisical_infisical")
    run = cluster.deploy(data={"infisical_memory_needed": "16m", "infisical_memory": "32m"})
    assert run.status == 1
    assert "stops again and again" in run.stderr, run.stderr[-2000:]
    assert re.search("(Failed|Rejected) .* ago", run.stderr), run.stderr[-2000:]
    cluster.deploy().ok()
    assert cluster.plan() == []


@pytest.mark.cluster
@pytest.mark.real
def test_an_etcd_that_lost_its_quorum_before_all_hosts_restarted_is_repaired_by_a_run(
    cluster: Cluster,
) -> None:
    waiting.whole(cluster)
    nodes = cluster.nodes()
    place = Place(cluster.credentials()).set_up(nodes[0])
    with Client(nodes, place) as client:
        assert client.steady(3, 60)
        etcd_broken(cluster)
        for number in cluster.numbers:
            cluster.kill(number)
    cluster.start(*cluster.numbers)
    waiting.wait_for_item(
        cluster, r"etcd: has lost its quorum .* starts first on \S+, which has every write"
    )
    cluster.deploy().ok()
    place.log_in(nodes[0])
    assert {name for node in nodes for name in client.list_lost(node)} == set()
    assert cluster.plan() == []


@pytest.mark.cluster
@pytest.mark.real
def test_a_cluster_is_rebuilt_around_its_only_remaining_host(cluster: Cluster) -> None:
    waiting.whole(cluster)
    nodes = cluster.nodes()
    place = Place(cluster.credentials()).set_up(nodes[0])
    with Client(nodes, place) as client:
        assert client.steady(3, 60)
        sync = json.loads(cluster.inside(1, "etcd-1", _SYNC))["sync_standby"]
        left = int(sync.removeprefix("postgres-"))
        lost = [cluster.host(number) for number in cluster.numbers if number != left]
        for number in set(cluster.numbers) - {left}:
            cluster.kill(number)
    refused = cluster.deploy()
    assert refused.status == 1
    assert "'Two of three lost'" in refused.stderr
    for host in lost:
        host.down()
    clusters.bare(cluster.staging, _DISK_GB)
    cluster.host(left).run(_FORGET_SWARM)
    cluster.deploy().ok()
    place.log_in(nodes[0])
    assert {name for node in nodes for name in client.list_lost(node)} == set()
    assert cluster.plan() == []
    file = f"{commanding.KEYS}/given_github_api_token"
    assert commanding.on_each(cluster, f"cat {file}") == [_TOKEN] * 3
    assert commanding.environments(cluster, _GIVEN) == [{_TOKEN}] * 3
