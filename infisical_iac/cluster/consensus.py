"""Decide how each data node's etcd begins: as a member of one that is there, or all of it anew.
Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infisical_iac.cluster.model import Node
from infisical_iac.cluster.settings import DATA_NODES


def broken(nodes: Sequence[Node]) -> bool:
    """Return whether most of etcd has lost its data. What is slow, or waits for the others, has
    lost nothing.
    """
    etcd = [node.etcd for node in nodes]
    return "well" not in etcd and etcd.count("lost") * 2 > DATA_NODES


def lost(nodes: Sequence[Node]) -> bool:
    """Return whether it has, and can begin anew, empty: one PostgreSQL has every write, and all are
    there.

    Nothing is in etcd but what that one writes there again.
    """
    return broken(nodes) and not undecided(nodes)


def undecided(nodes: Sequence[Node]) -> str:
    """Return why a broken etcd can't begin anew, with what helps; empty if it can.

    Of a data node that is away nothing is known, and what it has would come back; so would that of
    one which the managers don't reach.
    """
    data = [node for node in nodes if node.number]
    looks = {node.name: node.seen for node in data if node.seen}
    if away := [node.name for node in data if not node.up]:
        return f"{_listed(away)} can't be reached: bring it back, and run again"
    if down := [node.name for node in data if node.given_up]:
        restart = "`systemctl restart docker` there, and run again"
        return f"the swarm takes {_listed(down)} for down: {restart}"
    if empty := [name for name, look in looks.items() if not look.data]:
        return f"{_listed(empty)} has no data of PostgreSQL or copies them: run again in a minute"
    if _primaries(nodes) > 1:
        primaries = _listed(name for name, look in looks.items() if look.primary)
        return f"{primaries} are both primaries: run again in a minute"
    unread = [name for name, look in looks.items() if look.wal == (0, 0)]
    if unread and not _primaries(nodes):
        told = f"it can't be told what the PostgreSQL of {_listed(unread)} has written"
        return f"{told}: run again in a minute"
    return ""


def furthest(nodes: Sequence[Node]) -> int:
    """The number of the one whose PostgreSQL has every write that was acknowledged, where none is
    the primary: the one that has written most; 0 if one is.

    A new timeline begins with a new primary, which had all of the one before it.
    """
    wal = {node.number: node.seen.wal for node in nodes if node.number and node.seen}
    return 0 if _primaries(nodes) else max(wal, key=lambda number: wal[number], default=0)


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


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
