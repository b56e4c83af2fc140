"""Read the state of a cluster, as `state` defines it."""

import subprocess
import time
from collections.abc import Callable

from infisical_iac.cluster.settings import DATA_NODES
from tests.cluster import state
from tests.cluster.hosts import Cluster
from tests.cluster.state import State
from tests.staging.shell import StagingError

# A sentinel gets the master's messages within ten seconds, and asks every ten seconds.
_SECONDS = 60.0
_TASKS = "docker service ls --format '{{.Name}} {{.Replicas}}'"
_SERVICES = "docker service inspect --format '{{json .Spec}}' $(docker service ls --quiet)"
_NODES = "docker node inspect --format '{{json .}}' $(docker node ls --quiet)"
_STANDBYS = "SELECT state, sync_state FROM pg_stat_replication"
_HEALTH = "etcdctl endpoint health --cluster 2>&1"
_SENTINEL = (
    "sh -c '. /run/secrets/env; export REDISCLI_AUTH=$REDIS_PASSWORD; for of in "
    "get-master-addr-by-name replicas sentinels; do redis-cli $CLI -p 26379 sentinel $of "
    "infisical; done'"
)


def whole(cluster: Cluster) -> State:
    """Return the state of a cluster, once its data nodes are healthy.

    Raises StagingError if they are not within a minute.
    """
    desired = state.healthy_state(_data_nodes(cluster))

    def lacking(seen: State) -> list[str]:
        return state.differences(desired, {name: seen[name] for name in desired})

    seen, wrong = _until_none(cluster, lacking)
    if wrong:
        raise StagingError(f"the cluster is not healthy: {'; '.join(wrong)}")
    return seen


def differing(cluster: Cluster, before: State) -> list[str]:
    """Return the differences from the earlier state that remain after a minute at most."""
    return _until_none(cluster, lambda seen: state.differences(before, seen))[1]


def read(cluster: Cluster) -> State:
    """Return the current state of a cluster."""
    numbers = _data_nodes(cluster)
    found: dict[str, str] = {}
    tasks = dict(line.split()[:2] for line in cluster.managers(_TASKS))
    for each in cluster.managers(_SERVICES):
        found |= state.service(each, tasks)
    for each in cluster.managers(_NODES):
        found |= state.node(each)
    primaries = [number for number in numbers if _is_primary(cluster, number)]
    standbys = cluster.sql(primaries[0], _STANDBYS) if primaries else ""
    found |= state.postgres(len(primaries), standbys.splitlines())
    found |= state.etcd(cluster.inside(numbers[0], f"etcd-{numbers[0]}", _HEALTH))
    answers = {n: cluster.inside(n, f"sentinel-{n}", _SENTINEL) for n in numbers}
    for number, output in answers.items():
        found |= state.sentinel(number, output)
    return {**found, **state.redis(answers.values())}


def _is_primary(cluster: Cluster, number: int) -> bool:
    try:
        return bool(cluster.postmaster(number))
    except subprocess.TimeoutExpired:
        return False


def _data_nodes(cluster: Cluster) -> tuple[int, ...]:
    return cluster.numbers[:DATA_NODES]


def _until_none(cluster: Cluster, wrong: Callable[[State], list[str]]) -> tuple[State, list[str]]:
    """Return the state read last, and its remaining differences."""
    end = time.monotonic() + _SECONDS
    while True:
        seen = read(cluster)
        found = wrong(seen)
        if not found or time.monotonic() > end:
            return seen, found
        time.sleep(2)
