"""Match the hosts of the inventory with members of the swarm and their numbers. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from infisical_iac.cluster.model import ClusterRefused, Node
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.facts.swarm_state import Joined, Member, SwarmState


def is_gone(member: Member, inventory: Sequence[str], looks: Mapping[str, SwarmState]) -> bool:
    """Return whether a member won't come back: its host is in no inventory, or was made anew."""
    if not member.down or any(_is(member, name, look) for name, look in looks.items()):
        return False
    return member.host not in inventory or member.host in looks


def _is(member: Member, name: str, look: SwarmState) -> bool:
    if look.id:
        return member.id == look.id
    # An engine that is locked or does not answer says no id; one that has left, or whose
    # certificate has ended, is another member.
    return member.host == name and bool(look.mark) and look.state != "inactive" and not look.expired


def matched(
    names: Sequence[str],
    looks: Mapping[str, SwarmState],
    addresses: Mapping[str, str],
    members: Sequence[Member],
) -> Iterable[Node]:
    """Each connected host as the member that it is, if any, and the members that are no such host.

    Raises ClusterRefused.
    """
    left = list(members)
    for name in names:
        look = looks[name]
        member = next((each for each in left if _is(each, name, look)), None)
        if member:
            left.remove(member)
        address = addresses.get(name) or look.advertised or look.address
        if not address:
            raise ClusterRefused(
                f"{name} has no default route to tell its address by: set cluster_address to "
                "where the other nodes reach it"
            )
        if member and look.advertised and address != look.advertised:
            raise ClusterRefused(
                f"setting 'cluster_address': {name} is in the swarm as {look.advertised}, not as "
                f"{address}: let it leave the swarm (`docker swarm leave --force` on it), and run "
                "again"
            )
        number, joined = (member.number, member.joined) if member else (0, "")
        yield Node(name, address, look.hostname, number, False, joined, look.serial, look, member)
    yield from map(absent, left)


def absent(member: Member) -> Node:
    """A node of which no more is known than what the swarm has of it."""
    return Node(
        member.host or member.hostname,
        member.address,
        member.hostname,
        member.number,
        member.manager,
        member.joined,
        0,
        None,
        member,
    )


def lost(gone: Sequence[Member], nodes: Sequence[Node]) -> Iterable[Member]:
    """Those that won't come back, and whose number no other has yet: their place is kept.

    Without it, the stack would be one for fewer data nodes, and then one for three again.
    """
    taken, names = {node.number for node in nodes}, {node.name for node in nodes}
    for each in gone:
        if each.number and each.number not in taken and each.host not in names:
            yield each


def numbered(nodes: Sequence[Node], *, joins: bool) -> tuple[Node, ...]:
    """The nodes with a number for as many as keep data, those first; `joins` whether the etcd of
    one that gets it now joins that of others."""
    free = [n for n in range(1, DATA_NODES + 1) if n not in {node.number for node in nodes}]
    done = []
    for node in nodes:
        if node.up and not node.number and free:
            joined: Joined = "existing" if joins else "new"
            done.append(_with(node, number=free.pop(0), joined=joined))
        else:
            done.append(_with(node, number=node.number, joined=node.joined))
    return ordered(done)


def ordered(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The data nodes by their numbers, then the others by name."""
    return tuple(sorted(nodes, key=lambda node: (node.number or DATA_NODES + 1, node.name)))


def _with(node: Node, *, number: int, joined: Joined) -> Node:
    return replace(node, number=number, joined=joined, manager=number > 0)
