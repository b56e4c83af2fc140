"""Replace a cluster's node by a new server, as long as the other nodes can do without it.

Its data are on the other nodes. Its addresses stay and its volume is set aside; `apply` brings the
new server into the cluster. What has been done is known by what is there, so a run that dies is
taken up by the next.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from infisical_iac.core.errors import UserError
from infisical_iac.hetzner.edge import LoadBalancer
from infisical_iac.hetzner.parts import CloudVolume
from infisical_iac.hetzner.remote import RemoteExecutor
from infisical_iac.hetzner.replacement import turn_off
from infisical_iac.hetzner.resource import Changes, CloudDeployment, CloudNode, change
from infisical_iac.hetzner.server import LEAVING, CloudServer

# How often a server that shuts down is looked at: a minute in all.
_LOOKS = 30
# What Patroni calls members that have every write that was acknowledged, and that are healthy.
_COMPLETE = ("leader", "sync_standby", "quorum_standby")
_HEALTHY = ("running", "streaming")


def find_node(deployment: CloudDeployment, name: str | None) -> CloudNode:
    """Return the node that is meant. Raises UserError for none."""
    nodes = {node.desired.name: node for node in deployment.nodes}
    if name is None or name not in nodes:
        raise UserError(
            f"{name or 'no node'} is none of the cluster's: say which one is replaced, of "
            f"{', '.join(nodes)}"
        )
    return nodes[name]


def is_unfinished(node: CloudNode) -> bool:
    """Return whether the old server is gone, and the new one to be completed."""
    server = node[CloudServer]
    return node.server is None or not (server.is_leaving or server.is_ready)


def is_pointless(node: CloudNode) -> bool:
    """Return whether no replacement is under way and none would change anything."""
    server = node[CloudServer]
    return not is_unfinished(node) and not server.is_leaving and server.is_as_desired


def check_others(node: CloudNode, executor: RemoteExecutor) -> None:
    """Check that the other nodes can do without it. Raises UserError if they can't, or can't tell.

    Nothing is checked once the old server is on its way out.
    """
    if node[CloudServer].is_leaving or node.server is None:
        return
    servers = [each[CloudServer] for each in node.deployment.nodes if each is not node]
    alive = [server for server in servers if server.is_alive()]
    name = node.desired.name
    if not alive:
        raise UserError(
            "no other node lets in, so nobody can tell whether the cluster does without "
            f"{name}: nothing was done"
        )
    reports = [executor.read_cluster(server.login) for server in alive]
    report = next(filter(_has_databases, reports), reports[0])
    if reason := explain_need(report, name):
        raise UserError(f"the cluster can't do without {name}: {reason}; nothing was done")


def plan_node_removal(node: CloudNode, executor: RemoteExecutor) -> Changes:
    """Yield what deletes the old server; its data are on the other nodes, its volume is kept."""
    server, volume = node.server, node[CloudVolume]
    balancer, name = node.deployment[LoadBalancer], node.desired.name
    what = f"server {name}"
    if server is None:
        return
    if not node[CloudServer].is_leaving:
        mark = partial(node[CloudServer].add_labels, LEAVING)
        yield change("~", what, "marked as leaving", mark)
    for target in (balancer.found.targets or []) if balancer.found else ():
        if target.server and target.server.id == server.id:
            yield balancer.stop_sending(target, name)
    if server.status != "off":
        yield change("~", what, "stopped and turned off", partial(_turn_off, node, executor))
    if volume.found is not None:
        detail = f"set aside as {volume.name_aside}"
        yield change("~", f"volume {volume.found.name}", detail, volume.set_aside)
    yield CloudServer.removal(server)


def _turn_off(node: CloudNode, executor: RemoteExecutor) -> None:
    assert node.server is not None
    server = node[CloudServer]
    if server.is_alive():
        # A primary hands over in seconds when it is asked to end, in a minute when it is gone.
        executor.stop_docker(server.login)
    turn_off(node.server, looks=_LOOKS)


class SwarmNode(NamedTuple):
    """A node as the Swarm has it; `number` and `vote` are `-` for none."""

    name: str
    number: str
    state: str
    vote: str


def explain_need(report: str, name: str) -> str:
    """Return why the node `name` can't be taken away, empty if it can.

    Args:
        report: what `scripts/cluster/others.sh` printed on another node; nothing where there is no
            cluster yet.
    """
    lines = [line.partition(" ") for line in report.splitlines()]
    rest = {kind: rest for kind, _, rest in lines}
    nodes = [SwarmNode(*each.split()) for kind, _, each in lines if kind == "node"]
    databases, patroni = rest.get("databases", "0"), rest.get("patroni", "")
    reasons = [
        *_check_majority(nodes, name),
        *_check_databases(nodes, name, databases, patroni),
    ]
    return reasons[0] if reasons else ""


def _has_databases(report: str) -> bool:
    """Return whether a node could say how the databases are."""
    return any(line.startswith("patroni {") for line in report.splitlines())


def _check_majority(nodes: Sequence[SwarmNode], name: str) -> Iterator[str]:
    voting = [each for each in nodes if each.vote != "-"]
    others = [each for each in voting if each.name != name and each.vote == "reachable"]
    if voting and 2 * len(others) <= len(voting):
        yield f"{len(others)} of {len(voting)} managers would be left, which is no majority"


def _check_databases(
    nodes: Sequence[SwarmNode], name: str, databases: str, patroni: str
) -> Iterator[str]:
    if databases == "0":
        return
    try:
        found = json.loads(patroni)["members"]
    except (ValueError, KeyError):
        yield "no other node tells how PostgreSQL is"
        return
    numbers = {each.number for each in nodes if each.name == name}
    left = [each for each in found if each["name"].rpartition("-")[2] not in numbers]
    unhealthy = [each["name"] for each in left if each["state"] not in _HEALTHY]
    if unhealthy:
        yield f"{', '.join(unhealthy)} would be needed, and is not well"
    if not any(each["role"] in _COMPLETE for each in left):
        yield "no other node has all writes that were acknowledged"
