"""Copy the leader's state to all other data nodes, so that each of them can lead.

Secrets pass through this program's memory, from one host's standard output to another's input.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyinfra.api.deploy import deploy

from infisical_iac.agent import shared_state as agent_state
from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster import membership
from infisical_iac.cluster.model import Cluster
from infisical_iac.core import connection, journal
from infisical_iac.core.agent import ask, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.operation import Commands, planned_operation, step


@dataclass(frozen=True)
class Sharing:
    """The new serial of the leader's state, and the names of the hosts to copy it to."""

    serial: int
    to: tuple[str, ...]


def claim(leader: SwarmState, others: Mapping[str, SwarmState]) -> int:
    """Return the serial of the leader's state.

    A new leader takes a higher serial than all other hosts: the former leader may come back with a
    changed state under the serial that both had.
    """
    is_newest = all(each.serial <= leader.serial for each in others.values())
    if leader.serial and leader.serial_as_leader == leader.serial and is_newest:
        return leader.serial
    return _next_serial(leader, others)


def plan_sharing(leader: SwarmState, others: Mapping[str, SwarmState]) -> Sharing:
    """Return which hosts get the leader's state, and under which serial.

    If a host has another state under the leader's serial, the state has changed on either: all
    hosts get the leader's, under a higher serial. Otherwise the hosts with no state or an older
    one get it.
    """
    if not leader.digest:
        return Sharing(leader.serial, ())
    serial = claim(leader, others)
    changed = any(
        each.serial == serial and each.digest != leader.digest for each in others.values()
    )
    if changed:
        serial = _next_serial(leader, others)
    to = [
        name
        for name, each in others.items()
        if (each.serial, each.digest) != (serial, leader.digest)
    ]
    return Sharing(serial, tuple(to))


def _next_serial(leader: SwarmState, others: Mapping[str, SwarmState]) -> int:
    return max(each.serial for each in (leader, *others.values())) + 1


_STATE = "/etc/infisical"


@planned_operation
def leadership(cluster: Cluster) -> Commands:
    """Record on the leader that it leads, before it changes the shared state."""
    if not cluster.leads:
        yield UpToDate(f"{cluster.leader.name} is the leader")
        return
    leader, others = _split_states(cluster, _observed_states(cluster))
    serial = claim(leader, others)
    if (leader.serial, leader.serial_as_leader) == (serial, serial):
        yield UpToDate("the host is the leader, as before")
        return
    yield Change("~", "leader", f"{cluster.me.name}, by serial {serial}")
    yield step(_record_leadership, serial)


@planned_operation
def state_copies(cluster: Cluster) -> Commands:
    """Copy the leader's keys, credentials and records to all connected data nodes.

    Nodes without data never lead, so they need no secret.
    """
    is_old = cluster.leads and journal.current().has_changed
    names = (node.name for node in cluster.nodes)
    coming = [name for name in names if journal.will_change(f"{_STATE} on {name}")]
    yield from decide(
        cluster, membership.observe_again() if is_old else _observed_states(cluster), coming
    )


def decide(
    cluster: Cluster, observed: Mapping[str, SwarmState], coming: Collection[str] = ()
) -> Commands:
    """Plan which nodes get the leader's state, by the `observed` states.

    An earlier step of the plan copies it to the nodes in `coming`.
    """
    if not cluster.leads:
        yield UpToDate(f"{cluster.leader.name} is the leader and shares its state")
        return
    leader, others = _split_states(cluster, observed)
    desired = plan_sharing(leader, others)
    if not leader.digest:
        # An earlier step creates the state that is to be shared.
        desired = Sharing(claim(leader, others), tuple(others))
    if not desired.to:
        yield UpToDate("all data nodes have the leader's state")
        return
    for name in desired.to:
        if name in coming:
            continue
        older = others[name].serial
        detail = f"serial {older or 'none'} → {desired.serial}, from {cluster.me.name}"
        yield Change("~" if older else "+", f"{_STATE} on {name}", detail)
    yield step(spread, cluster)


def spread(cluster: Cluster) -> tuple[str, ...]:
    """Copy the state of the leader, which is the current host, to the other data nodes.

    Returns the names of the hosts that got the state. Raises CommandFailed.
    """
    leader, others = _split_states(cluster, membership.observe_again())
    desired = plan_sharing(leader, others)
    if not desired.to:
        return ()
    # First, so that the host is still the leader if this run is killed here.
    _record_leadership(desired.serial)
    shared = ask(question(agent_state.give))
    for name in desired.to:
        with connection.on(name):
            perform(
                question(agent_state.take, shared=shared, serial=desired.serial),
                doing=f"bring the state of {cluster.leader.name} to {name}",
            )
    return desired.to


def _record_leadership(serial: int) -> None:
    perform(question(agent_state.lead, serial=serial), doing="record that the host is the leader")


def _observed_states(cluster: Cluster) -> Mapping[str, SwarmState]:
    return {node.name: node.seen for node in cluster.nodes if node.seen}


def _split_states(
    cluster: Cluster, observed: Mapping[str, SwarmState]
) -> tuple[SwarmState, dict[str, SwarmState]]:
    """Return the state of the leader, and the states of the other data nodes by name."""
    keepers = {node.name for node in cluster.nodes if node.number} - {cluster.leader.name}
    others = {name: seen for name, seen in observed.items() if name in keepers}
    return observed[cluster.leader.name], others


@deploy("Share")
def share(cluster: Cluster) -> None:
    """Copy the leader's state to all other data nodes."""
    state_copies(cluster=cluster, name="Share the leader's keys, credentials and records")
