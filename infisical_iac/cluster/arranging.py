"""List what the lead has to change of the swarm's nodes. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from infisical_iac.cluster.model import Cluster, Node
from infisical_iac.facts.swarm_state import ETCD, HOST, JOINED, LACKS, NUMBER, Member, SwarmState

# A node's certificate, by which the others know it, ends after so long; it is renewed before.
CERTIFICATE_HOURS = 30 * 24


@dataclass(frozen=True)
class Update:
    """One change to a node of the swarm.

    Attributes:
        node: its name for people, `id` Swarm's own.
        arguments: of `docker node`.
        why: what differs.
    """

    node: str
    id: str
    arguments: tuple[str, ...]
    why: str


def settings(seen: SwarmState) -> list[str]:
    """Return what differs of the swarm itself, as its manager sees it."""
    found = []
    if not seen.autolock:
        found.append("autolock off → on")
    if seen.expiry != CERTIFICATE_HOURS * 3600:
        found.append(f"certificates end after {seen.expiry // 3600} → {CERTIFICATE_HOURS} hours")
    return found


def updates(cluster: Cluster) -> Iterator[Update]:
    """Yield what differs of each node that is in the swarm; first who is to be manager, then who
    not.
    """
    nodes = [node for node in cluster.nodes if node.member]
    for node in sorted(nodes, key=lambda node: not node.manager):
        yield from _update(node, node.member, cluster.generation if node.number else 0)


def removals(cluster: Cluster) -> Iterator[Update]:
    """Yield how the nodes are taken out that won't come back."""
    for each in cluster.gone:
        name = each.host or each.hostname
        if each.manager:
            yield Update(name, each.id, ("demote", each.id), "no manager any more")
        yield Update(name, each.id, ("rm", "--force", each.id), "down, and its host is gone")


def with_members(cluster: Cluster, members: Sequence[Member], ids: Mapping[str, str]) -> Cluster:
    """The cluster once all have joined, by the members as they are now and the nodes' ids."""
    by_id = {each.id: each for each in members}
    nodes = tuple(
        replace(node, member=by_id.get(ids.get(node.name, ""), node.member))
        for node in cluster.nodes
    )
    gone = tuple(by_id[each.id] for each in cluster.gone if each.id in by_id)
    return replace(cluster, nodes=nodes, gone=gone)


def _update(node: Node, member: Member | None, generation: int) -> Iterator[Update]:
    if member is None:
        return
    arguments, why = [], []
    labels = {
        HOST: (node.name, member.host),
        NUMBER: (str(node.number or ""), str(member.number or "")),
        JOINED: (node.joined, member.joined),
        LACKS: (node.lacks, member.lacks),
        ETCD: (str(generation or ""), str(member.generation or "")),
    }
    for label, (wanted, there) in labels.items():
        if wanted and wanted != there:
            arguments += ["--label-add", f"{label}={wanted}"]
            why.append(f"{label} {there or '(none)'} → {wanted}")
        elif there and not wanted:
            arguments += ["--label-rm", label]
            why.append(f"{label} {there} → (none)")
    if node.manager != member.manager:
        role = "manager" if node.manager else "worker"
        arguments += ["--role", role]
        why.append(f"role → {role}")
    if not member.active:
        arguments += ["--availability", "active"]
        why.append("drained → active")
    if arguments:
        yield Update(node.name, member.id, ("update", *arguments, member.id), ", ".join(why))
