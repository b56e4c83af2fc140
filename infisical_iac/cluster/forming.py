"""Form a cluster from the hosts of an inventory, as they are looked at. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from infisical_iac.cluster import consensus, leading, membership, unfit
from infisical_iac.cluster.model import Cluster, ClusterRefused, Node, free_pool
from infisical_iac.facts.swarm_state import Member, SwarmState


def cluster(
    inventory: Sequence[str],
    looks: Mapping[str, SwarmState],
    *,
    addresses: Mapping[str, str],
    me: str,
) -> Cluster:
    """Return what the hosts of an inventory are together.

    Args:
        inventory: the names of its hosts, in their order.
        looks: what each host that is connected is like.
        addresses: `cluster_address` by name, for hosts where it is set.
        me: the name of the host that this is told to.

    Raises ClusterRefused.
    """
    names = [name for name in inventory if name in looks]
    lead = leading.choose(names, looks)
    members = looks[lead].members
    unfit.refuse(inventory, names, looks, lead)
    gone = tuple(each for each in members if membership.is_gone(each, inventory, looks))
    staying = [each for each in members if each not in gone]
    begun = any(look.stack for look in looks.values() if _counts(look, looks[lead]))
    nodes = membership.numbered(
        [*membership.matched(names, looks, addresses, staying)], joins=begun and bool(members)
    )
    lost = tuple(membership.lost(gone, nodes))
    gone = tuple(each for each in gone if each not in lost)
    nodes = membership.ordered([*nodes, *map(membership.absent, lost)])
    anew = begun and bool(members) and consensus.lost(nodes)
    nodes = consensus.beginning(nodes, anew=anew)
    by_name = {node.name: node for node in nodes}
    for each in nodes:
        if each is not by_name[each.name]:
            raise ClusterRefused(
                f"{each.name} was made anew, and the swarm still waits for the host that had its "
                "name: run again in a minute, when it has given that one up"
            )
    return Cluster(
        nodes=nodes,
        me=by_name[me],
        lead=by_name[lead],
        ipvs=not any("ipvs" in node.lacks for node in nodes),
        esp=not any("esp" in node.lacks for node in nodes),
        pool=looks[lead].pool or free_pool(node.address for node in nodes),
        begun=begun,
        anew=anew,
        first=consensus.furthest(nodes) if anew else 0,
        generation=max(each.generation for each in members) + anew if members else 0,
        gone=gone,
        notes=tuple(_notes(inventory, nodes, lost)),
    )


def _counts(look: SwarmState, lead: SwarmState) -> bool:
    """Return whether the stack that a host knows of is this cluster's: not that of one before
    it.
    """
    return not lead.control or look.mark == lead.mark


def _notes(
    inventory: Sequence[str], nodes: Sequence[Node], lost: Sequence[Member]
) -> Iterable[str]:
    up = {node.name for node in nodes if node.up}
    away = [name for name in inventory if name not in up]
    if away:
        yield f"{', '.join(away)} can't be reached: the run goes on with {', '.join(sorted(up))}"
    for each in lost:
        yield (
            f"{each.host or each.hostname} is lost, and no host that can be reached takes its "
            "place: the cluster has two data nodes until one does"
        )
    for node in nodes:
        if not node.up and node.name not in inventory and node.member not in lost:
            yield (
                f"{node.name} is in the swarm, and in no inventory: add it there, or, to take it "
                f"out, shut it down and run again"
            )
