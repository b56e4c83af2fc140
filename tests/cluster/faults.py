"""The faults: each is injected into a cluster, and returns the function that undoes it.

Undoing a fault repairs only what an operator at the machine must repair, such as the power. All
else is left to `apply`.
"""

import time

from tests.cluster.fault import ONE_FAULT_SECONDS, Fault, Undo
from tests.cluster.hosts import Cluster
from tests.e2e import upgrading
from tests.staging.shell import StagingError

_FILL = "/var/lib/docker/filled"
_BREAK_ETCD = """
for file in /var/lib/docker/volumes/infisical_etcd/_data/data/member/*/*; do
    test ! -f $file || dd if=/dev/urandom of=$file bs=4096 count=16 conv=notrunc status=none
done
# etcd may have ended by itself because of the broken data.
docker kill $(docker ps --quiet --filter name=infisical_etcd-) >/dev/null 2>&1 || true
"""
# Three times as long as a primary may stay one without the others.
_APART_SECONDS = 60
_ALL_BOOT_SECONDS = 60


def primary_killed(cluster: Cluster) -> Undo:
    """The power of the host with the primary fails."""
    return _kill(cluster, _primary(cluster))


def primary_cut_off(cluster: Cluster) -> Undo:
    """The host with the primary is cut off from the others, and runs on."""
    number = _primary(cluster)
    cluster.cut(number)
    return lambda: cluster.heal(number)


def all_apart(cluster: Cluster) -> Undo:
    """All hosts are cut off from each other for a minute, and run on."""
    for number in cluster.numbers:
        cluster.cut(number)
    time.sleep(_APART_SECONDS)
    for number in cluster.numbers:
        cluster.heal(number)
    return _nothing


def etcd_broken(cluster: Cluster) -> Undo:
    """The data of two of the three members of etcd are broken."""
    for number in cluster.numbers[:2]:
        cluster.host(number).run(_BREAK_ETCD)
    return _nothing


def manager_killed(cluster: Cluster) -> Undo:
    """The power of the host that leads the swarm fails, or of another one without the primary."""
    primary, leader = _primary(cluster), cluster.leader()
    others = [number for number in cluster.numbers if number != primary]
    return _kill(cluster, leader if leader in others else others[0])


def replicas_killed(cluster: Cluster) -> Undo:
    """Two of the three replicas of Infisical are killed."""
    for number in cluster.numbers[:2]:
        cluster.kill_service(number, "infisical")
    return _nothing


def node_drained(cluster: Cluster) -> Undo:
    """Somebody drains the node with the primary."""
    cluster.drain(_primary(cluster))
    return _nothing


def all_restarted(cluster: Cluster) -> Undo:
    """The power of all hosts fails, and is back at once."""
    for number in cluster.numbers:
        cluster.kill(number)
    cluster.start(*cluster.numbers)
    return _nothing


def disk_filled(cluster: Cluster) -> Undo:
    """The disk of the host with the primary is filled to the last byte; it must have one."""
    host = cluster.host(_primary(cluster))
    if not (host.directory / "disk.img").exists():
        raise StagingError(f"{host.name} has no disk of its own: it would fill this machine's")
    free = "$(df --block-size=1 --output=avail /var/lib/docker | tail -1)"
    # Space that is freed meanwhile is filled too, because a database notices the lack only later.
    host.run(
        f"fallocate --length {free} {_FILL}; for second in $(seq 15); do "
        f"cat /dev/zero >>{_FILL} 2>/dev/null; sleep 1; done"
    )

    def free_again() -> None:
        host.run(f"rm -f {_FILL}")

    return free_again


def version_never_healthy(cluster: Cluster) -> Undo:
    """A version is rolled out that works on a copy of the data, but never on the cluster."""
    for number in cluster.numbers:
        upgrading.make_later(cluster.host(number), upgrading.FAILS_CLUSTERS)
    done = cluster.deploy(data={"infisical_version": upgrading.FAILS_CLUSTERS})
    if done.status == 0:
        raise StagingError("the roll-out of a version that is never healthy has succeeded")
    if "Swarm restored the previous configuration" not in done.stderr:
        raise StagingError(f"the roll-out did not go back: {done.sentence}")
    return _nothing


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(primary_killed),
        Fault(primary_cut_off),
        Fault(
            all_apart,
            within=_APART_SECONDS + ONE_FAULT_SECONDS,
            because=f"for the first {_APART_SECONDS} s no host hears another one",
        ),
        # This breaks two hosts at once, but has the usual bound: PostgreSQL works without etcd.
        Fault(etcd_broken),
        Fault(manager_killed),
        Fault(replicas_killed),
        Fault(node_drained),
        Fault(
            all_restarted,
            within=_ALL_BOOT_SECONDS,
            because="all hosts boot, and none is there to take over",
        ),
        Fault(disk_filled),
        Fault(version_never_healthy),
    )
}


def make_good(cluster: Cluster) -> None:
    """Undo the possible effects of an unfinished fault."""
    for number in cluster.numbers:
        cluster.heal(number)
    cluster.start(*(number for number in cluster.numbers if number not in cluster.alive()))
    for number in cluster.numbers:
        cluster.host(number).run(f"rm -f {_FILL}")


def _kill(cluster: Cluster, number: int) -> Undo:
    cluster.kill(number)
    return lambda: cluster.start(number)


def _primary(cluster: Cluster) -> int:
    number = cluster.primary()
    if number is None:
        raise StagingError(
            f"no host of {cluster.staging.name!r} is the primary: deploy there first"
        )
    return number


def _nothing() -> None:
    return None
