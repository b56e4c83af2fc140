"""Decide how each data node's etcd starts, and replace lost members."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infisical_iac.agent import etcd
from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster.model import Cluster, Node
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.cluster.swarm_state import swarm_question
from infisical_iac.core import connection
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import Refused
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.wording import join_names


def has_lost_quorum(nodes: Sequence[Node]) -> bool:
    """Return whether a majority of etcd's members has lost its data.

    A member that is slow, or waits for the others, still has its data.
    """
    etcd = [node.etcd for node in nodes]
    return "healthy" not in etcd and etcd.count("lost") * 2 > DATA_NODES


def can_reset_etcd(nodes: Sequence[Node]) -> bool:
    """Return whether etcd has lost its quorum and can be bootstrapped again, empty.

    This requires that all data nodes are connected and that it is known which PostgreSQL has every
    write. That PostgreSQL writes etcd's content again.
    """
    return has_lost_quorum(nodes) and not explain_undecided(nodes)


def explain_undecided(nodes: Sequence[Node]) -> str:
    """Return why a broken etcd can't be bootstrapped again, with a remedy; empty if it can.

    An unreachable data node could come back later with other writes, and so could a node that the
    managers don't reach.
    """
    data = [node for node in nodes if node.number]
    observed = {node.name: node.seen for node in data if node.seen}
    if unreachable := [node.name for node in data if not node.up]:
        return f"{join_names(unreachable)} can't be reached: start it, and run again"
    if down := [node.name for node in data if node.is_cut_off]:
        restart = "`systemctl restart docker` there, and run again"
        return f"the swarm considers {join_names(down)} down: {restart}"
    if empty := [name for name, seen in observed.items() if not seen.data]:
        return f"{join_names(empty)} has no PostgreSQL data yet: run again in a minute"
    if _primaries(nodes) > 1:
        primaries = join_names(name for name, seen in observed.items() if seen.primary)
        return f"{primaries} are both primaries: run again in a minute"
    unread = [name for name, seen in observed.items() if seen.wal == (0, 0)]
    if unread and not _primaries(nodes):
        reason = f"the PostgreSQL of {join_names(unread)} does not show how much it has written"
        return f"{reason}: run again in a minute"
    return ""


def find_complete_node(nodes: Sequence[Node]) -> int:
    """Return the number of the node whose PostgreSQL has every write; 0 if there is a primary.

    It is the node with the latest timeline and position, which has every acknowledged write: a new
    timeline begins with a new primary, which had all writes of the one before it.
    """
    wal = {node.number: node.seen.wal for node in nodes if node.number and node.seen}
    return 0 if _primaries(nodes) else max(wal, key=lambda number: wal[number], default=0)


def _primaries(nodes: Sequence[Node]) -> int:
    return sum(node.seen.primary for node in nodes if node.seen and node.number)


def assign_starts(nodes: Sequence[Node], *, reset: bool) -> tuple[Node, ...]:
    """Return the nodes, with `joined` set to the way in which each etcd starts.

    With `reset`, all members bootstrap a new etcd. Otherwise a member that lost its data joins as
    a new one, if a majority of the members is healthy.
    """
    if reset:
        return tuple(replace(node, joined="new") if node.number else node for node in nodes)
    if sum(node.etcd == "healthy" for node in nodes) * 2 < DATA_NODES:
        return tuple(nodes)
    return tuple(
        replace(node, joined="existing") if node.etcd == "lost" else node for node in nodes
    )


def members_to_replace(nodes: Iterable[Node]) -> dict[int, str]:
    """Return the numbers of the etcd members to replace, each with the name of its node.

    A member is replaced when a host takes over the number of a lost one, or when it has lost its
    data.
    """
    return {
        node.number: node.name
        for node in nodes
        if node.joined == "existing"
        and (node.member is None or node.member.number != node.number or node.etcd == "lost")
    }


@planned_operation
def member_replacement(cluster: Cluster) -> Commands:
    """Replace the etcd members of lost data nodes, before the new nodes start.

    A new node's own etcd data are removed first: a host that was removed and comes back, or that
    lost its number, has the data of a former member, and etcd does not start with them. The same is
    done for a node whose etcd lost its data. An etcd without a quorum accepts no member, see
    `remove_lost_etcd`.
    """
    replaced = members_to_replace(cluster.nodes)
    if not replaced:
        yield UpToDate("no etcd member has to be replaced")
    for number, name in replaced.items():
        yield Change("~", f"etcd-{number}", f"the lost member → a new one on {name}")
        yield step(_replace_member, cluster, number, name)


def remove_lost_etcd(cluster: Cluster) -> None:
    """Remove an etcd that has lost its quorum, so that the caller can roll out a new one at once.

    Without a primary, every PostgreSQL that may lack writes is stopped too, with its data kept: in
    an empty etcd any of them could become the primary. The hosts are observed again first: an etcd
    that is healthy by then is left unchanged. Raises Refused if anything else has changed.
    """
    data = [node for node in cluster.nodes if node.number]
    now = [replace(node, seen=_read_state(node.name)) for node in data]
    if any(node.etcd == "healthy" for node in now):
        return
    if not can_reset_etcd(now) or find_complete_node(now) != cluster.first:
        raise Refused(
            "the state of etcd and PostgreSQL has changed since the run began, and "
            "nothing was removed: run again",
            code="refused.state_changed",
        )
    others = [node for node in data if cluster.first and node.number != cluster.first]
    ended = [f"etcd-{node.number}" for node in data] + [f"postgres-{n.number}" for n in others]
    for node in data:
        with connection.on(node.name):
            perform(
                question(etcd.abandon),
                doing=f"record that the etcd of {node.name} is bootstrapped again",
            )
    perform(question(etcd.stop, services=ended), doing="remove the services of the lost etcd")
    for node in others:
        with connection.on(node.name):
            perform(question(etcd.end_postgres), doing=f"stop the PostgreSQL of {node.name}")
    for node in data:
        with connection.on(node.name):
            perform(question(etcd.forget), doing=f"remove the etcd of {node.name}")


def _read_state(name: str) -> SwarmState:
    with connection.on(name):
        return ask(swarm_question())


def _replace_member(cluster: Cluster, number: int, name: str) -> None:
    healthy = [
        node.name
        for node in cluster.connected_nodes
        if node.etcd == "healthy" and node.name != name
    ]
    keeper = cluster.leader.name if cluster.leader.name in healthy or not healthy else healthy[0]
    with connection.on(keeper):
        stop = question(etcd.stop, services=[f"etcd-{number}"])
        perform(stop, doing=f"stop etcd-{number}")
    with connection.on(name):
        perform(question(etcd.forget), doing=f"remove the earlier etcd of {name}")
    with connection.on(keeper):
        perform(question(etcd.replace_member, number=number), doing=f"add {name} to etcd")
