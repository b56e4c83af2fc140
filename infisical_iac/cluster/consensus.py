"""How each data node's etcd begins: as a member of one that is there, or all of it anew. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infisical_iac.cluster.nodes import Node
from infisical_iac.cluster.settings import DATA_NODES


def broken(nodes: Sequence[Node]) -> bool:
    """Whether most of etcd has lost its data. What is slow, or waits for the others, has lost
    nothing."""
    etcd = [node.etcd for node in nodes]
    return "well" not in etcd and etcd.count("lost") * 2 > DATA_NODES


def lost(nodes: Sequence[Node]) -> bool:
    """Whether it can begin anew, empty: with all there, and one PostgreSQL that has every write.

    Nothing is in etcd but what that one writes there again. Of a data node that is away nothing is
    known, and what it has would come back.
    """
    looks = [node.seen for node in nodes if node.number]
    there = all(look and look.data for look in looks)
    return broken(nodes) and there and (_primaries(nodes) == 1 or furthest(nodes) > 0)


def furthest(nodes: Sequence[Node]) -> int:
    """The number of the one whose PostgreSQL has every write that was acknowledged, where none is
    the primary: the one that has written most; 0 if one is, or if that can't be told of all.

    A new timeline begins with a new primary, which had all of the one before it.
    """
    wal = {node.number: node.seen.wal if node.seen else (0, 0) for node in nodes if node.number}
    if _primaries(nodes) or (0, 0) in wal.values():
        return 0
    return max(wal, key=lambda number: wal[number], default=0)


def _primaries(nodes: Sequence[Node]) -> int:
    return sum(node.seen.primary for node in nodes if node.seen and node.number)


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
