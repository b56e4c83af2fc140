"""How each data node's etcd begins: as a member of one that is there, or all of it anew. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infisical_iac.cluster.nodes import Node
from infisical_iac.cluster.settings import DATA_NODES


def lost(nodes: Sequence[Node]) -> bool:
    """Whether most of etcd has lost its data while one PostgreSQL goes on as the primary, with all
    there.

    Nothing is in etcd but what that one writes there again. What is slow, or waits for the others,
    has lost nothing; of a data node that is away it is not known, and what it has would come back.
    """
    seen = [node.seen for node in nodes if node.number]
    there = [look for look in seen if look and look.data]
    wrong = len(there) == len(seen) and not any(look.etcd == "well" for look in there)
    most = sum(look.etcd == "lost" for look in there) * 2 > DATA_NODES
    return wrong and most and sum(look.primary for look in there) == 1


def beginning(nodes: Sequence[Node], *, anew: bool) -> tuple[Node, ...]:
    """The nodes, each with how its etcd begins: all of it `anew`, or one that most go on without
    as a new member."""
    if anew:
        return tuple(replace(node, joined="new") if node.number else node for node in nodes)
    if sum(node.etcd == "well" for node in nodes) * 2 < DATA_NODES:
        return tuple(nodes)
    return tuple(
        replace(node, joined="existing") if node.etcd == "lost" else node for node in nodes
    )


def replaced(nodes: Iterable[Node]) -> dict[int, str]:
    """The numbers whose etcd needs a new member, each with its node's name.

    A host takes the number over from one that is lost, or its etcd has lost its data.
    """
    return {
        node.number: node.name
        for node in nodes
        if node.joined == "existing"
        and (node.member is None or node.member.number != node.number or node.etcd == "lost")
    }
