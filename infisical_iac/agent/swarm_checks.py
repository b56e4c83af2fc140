"""The rows of the table that are about a cluster, and what they find. Pure.

A lost node takes its parts of etcd and PostgreSQL with it: what it explains is no further alert.
"""

from collections.abc import Iterator

from infisical_iac.agent.observed import DAY, MINUTE, Check, Observed, Problem
from infisical_iac.agent.swarm import ClusterFacts, ObservedNode

_MIB = 1024**2
_DATA_NODES = 3
_FOLLOWS = ("streaming", "running")


def _describe(node: ObservedNode) -> str:
    """Return the problem of a node; empty if there is none."""
    if not node.is_ready:
        return "can't be reached by the others"
    if node.availability != "active":
        return {"drain": "is drained", "pause": "is paused"}.get(node.availability, "takes no work")
    if node.reachability == "unreachable":
        return "can't be reached as a manager"
    return ""


def _lost(cluster: ClusterFacts) -> list[ObservedNode]:
    return [each for each in cluster.nodes if _describe(each)]


def _numbers(cluster: ClusterFacts) -> tuple[str, ...]:
    """Return the ends of the names of services and members on lost nodes, such as `-2`."""
    return tuple(f"-{each.number}" for each in _lost(cluster) if each.number)


def find_nodes(seen: Observed, _: float) -> Iterator[Problem]:
    for node in _lost(seen.cluster) if seen.cluster.reports else ():
        # A node without data can't say that its maintenance reboots it.
        wait = MINUTE // 2 if node.number else 5 * MINUTE
        yield Problem(f"the node {node.name} {_describe(node)}", node.name, wait=wait)


def find_quorum(seen: Observed, _: float) -> Iterator[Problem]:
    cluster = seen.cluster
    if cluster.is_manager and not cluster.has_quorum:
        yield Problem("the swarm has no leader: most of its managers can't be reached", "swarm")
    if cluster.etcd == {}:
        yield Problem("etcd has no quorum, so PostgreSQL can't have a leader", "etcd")


def find_etcd(seen: Observed, _: float) -> Iterator[Problem]:
    lost = _numbers(seen.cluster)
    for address, why in sorted((seen.cluster.etcd or {}).items()):
        name = address.rpartition("//")[2].partition(":")[0]
        if why and not name.endswith(lost):
            yield Problem(f"the member {name} of etcd is unhealthy: {why}", name)


def find_leader(seen: Observed, _: float) -> Iterator[Problem]:
    members = seen.cluster.postgres
    if members is None or seen.cluster.etcd == {}:
        return
    leaders = [each for each in members if each.role in ("leader", "standby_leader")]
    if not leaders:
        yield Problem("PostgreSQL has no leader, so nothing can be written")
    elif (leader := leaders[0]).state != "running":
        yield Problem(f"the leader of PostgreSQL, {leader.name}, is {leader.state}")


def find_replication(seen: Observed, mebibytes: float) -> Iterator[Problem]:
    cluster = seen.cluster
    if not cluster.postgres or cluster.etcd == {}:
        return
    lost, known = _numbers(cluster), {each.name for each in cluster.postgres}
    for number in range(1, _DATA_NODES + 1):
        name = f"postgres-{number}"
        if name not in known and not name.endswith(lost):
            yield Problem(f"{name} is no member of PostgreSQL's cluster", name)
    for member in cluster.postgres:
        if "leader" in member.role or member.name.endswith(lost):
            continue
        if member.state not in _FOLLOWS:
            text = f"the standby {member.name} does not follow: it is {member.state or 'silent'}"
            yield Problem(text, member.name)
        elif member.lag is None:
            yield Problem(f"nobody knows how far the standby {member.name} is behind", member.name)
        elif member.lag > mebibytes * _MIB:
            text = f"the standby {member.name} is {member.lag / _MIB:.0f} MB behind"
            yield Problem(text, member.name)
    if not any(each.role in ("sync_standby", "quorum_standby") for each in cluster.postgres):
        yield Problem("PostgreSQL has no synchronous standby, so nothing can be written", "sync")


def find_replicas(seen: Observed, _: float) -> Iterator[Problem]:
    cluster = seen.cluster
    lost, away = _numbers(cluster), len(_lost(cluster))
    for service, (running, desired) in sorted(cluster.services.items()):
        if running >= desired or (lost and service.endswith(lost)):
            continue
        if running and desired - running <= away:
            continue
        text = f"{running} of {desired} replicas of {service} run"
        yield Problem(text, service, wait=0 if not running else MINUTE)


def find_cluster_certificate(seen: Observed, days: float) -> Iterator[Problem]:
    end = seen.cluster.certificate_ends
    if end is not None and end - seen.now < days * DAY:
        left = max(0, (end - seen.now) // DAY)
        yield Problem(f"a certificate within the cluster ends in {left:.0f} days")


CHECKS: tuple[Check, ...] = (
    Check(
        "node",
        "critical",
        "a node of the cluster is unreachable, drained or paused",
        "start it, or run `docker node update --availability active` with its name on another "
        "node, then `infisical-iac status`",
        find_nodes,
        waits_for_runs=True,
    ),
    Check(
        "quorum",
        "critical",
        "the swarm or etcd has no quorum",
        "start the other nodes and Docker on them; if they are lost, see `infisical-iac docs "
        "runbooks`",
        find_quorum,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "etcd",
        "warning",
        "a member of etcd is unhealthy",
        "run `infisical-iac apply`, which replaces a lost member",
        find_etcd,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "leader",
        "critical",
        "PostgreSQL has no leader",
        "run `infisical-iac status`, and read `docker service logs infisical_postgres-1` on a node",
        find_leader,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "replication",
        "warning",
        "a standby of PostgreSQL lags or does not follow",
        "run `infisical-iac status`, then `infisical-iac apply`",
        find_replication,
        threshold=16,
        unit="MB behind",
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "replicas",
        "critical",
        "a service of the cluster lacks replicas",
        "run `docker service ps --no-trunc` with its name on a manager, then `infisical-iac apply`",
        find_replicas,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "cluster_certificate",
        "warning",
        "a certificate within the cluster ends soon",
        "run `infisical-iac apply`, which renews it",
        find_cluster_certificate,
        threshold=30,
        unit="days left",
    ),
)
