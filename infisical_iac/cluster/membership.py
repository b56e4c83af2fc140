"""Observe all hosts of the inventory, and derive the cluster that they form."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from time import monotonic, sleep
from weakref import WeakKeyDictionary

import gevent  # type: ignore[import-untyped]
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_state, host

from infisical_iac.agent.membership import SwarmMember, SwarmState
from infisical_iac.cluster import etcd, model
from infisical_iac.cluster.model import Cluster, Node, free_pool, is_converging
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.cluster.swarm_state import swarm_question
from infisical_iac.cluster.validation import refuse_malformed
from infisical_iac.core.agent import ask
from infisical_iac.core.connection import current, without_delay
from infisical_iac.core.errors import Refused
from infisical_iac.core.wording import join_names


def is_gone(
    member: SwarmMember, inventory: Sequence[str], observed: Mapping[str, SwarmState]
) -> bool:
    """Return whether a member won't come back, as its host left the inventory or was re-created."""
    if not member.down or any(_is_same_node(member, name, seen) for name, seen in observed.items()):
        return False
    return member.host not in inventory or member.host in observed


def _is_same_node(member: SwarmMember, name: str, seen: SwarmState) -> bool:
    if seen.id:
        return member.id == seen.id
    # An engine that is locked or does not answer reports no id. An engine that has left the swarm,
    # or whose certificate has expired, is another member.
    return member.host == name and bool(seen.mark) and seen.state != "inactive" and not seen.expired


def match_members(
    names: Sequence[str],
    observed: Mapping[str, SwarmState],
    addresses: Mapping[str, str],
    members: Sequence[SwarmMember],
) -> Iterable[Node]:
    """Yield a node for each connected host, then one for each other member of the swarm.

    The node of a connected host has its member, if there is one. Raises Refused.
    """
    left = list(members)
    for name in names:
        seen = observed[name]
        member = next((each for each in left if _is_same_node(each, name, seen)), None)
        if member:
            left.remove(member)
        address = addresses.get(name) or seen.advertised or seen.address
        if not address:
            raise Refused(
                f"{name} has no default route, so its address is unknown: set cluster_address to "
                "the address at which the other nodes reach it",
                code="refused.no_route",
            )
        if member and seen.advertised and address != seen.advertised:
            raise Refused(
                f"setting 'cluster_address': {name} is in the swarm as {seen.advertised}, not as "
                f"{address}: run `docker swarm leave --force` on it, and run again",
                code="refused.other_address",
            )
        number, joined = (member.number, member.joined) if member else (0, "")
        yield Node(name, address, number, False, joined, seen, member)
    yield from map(absent_node, left)


def absent_node(member: SwarmMember) -> Node:
    """Return the node of a member whose host is not connected."""
    name = member.host or member.hostname
    return Node(name, member.address, member.number, member.manager, member.joined, None, member)


def lost_members(gone: Sequence[SwarmMember], nodes: Sequence[Node]) -> Iterable[SwarmMember]:
    """Yield the members that won't come back, but keep their number, as no other node has it.

    Without them the stack would be rolled out for fewer data nodes first, and later for three.
    """
    taken, names = {node.number for node in nodes}, {node.name for node in nodes}
    for each in gone:
        if each.number and each.number not in taken and each.host not in names:
            yield each


def assign_numbers(nodes: Sequence[Node], *, joins: bool) -> tuple[Node, ...]:
    """Return the nodes, with free numbers given to connected nodes; data nodes come first.

    Args:
        joins: whether the etcd of a node that gets a number joins an existing one.
    """
    free = [n for n in range(1, DATA_NODES + 1) if n not in {node.number for node in nodes}]
    done = []
    for each in nodes:
        node = each
        if node.up and not node.number and free:
            node = replace(node, number=free.pop(0), joined="existing" if joins else "new")
        done.append(replace(node, manager=node.number > 0))
    return sort_nodes(done)


def sort_nodes(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Return the data nodes by number, then the other nodes by name."""
    return tuple(sorted(nodes, key=lambda node: (node.number or DATA_NODES + 1, node.name)))


_RUNBOOK = "`infisical-iac docs runbooks`"


def _refusals(
    inventory: Sequence[str], names: Sequence[str], observed: Mapping[str, SwarmState], leader: str
) -> Iterator[Refused]:
    """Yield the reasons why the hosts can't form a cluster, or can't at the moment.

    Args:
        inventory: the names of its hosts.
        names: the names of its connected hosts.
        observed: the states of the connected hosts.
        leader: the name of the host that would lead.
    """
    leader_state = observed[leader]
    if len(inventory) < DATA_NODES:
        clustered = any(observed[name].stack for name in names)
        or_single = "" if clustered else ", or set topology to 'single'"
        yield Refused(
            f"setting 'topology': a swarm needs {DATA_NODES} hosts or more, and the inventory has "
            f"{len(inventory)}: add hosts{or_single}",
            code="refused.few_hosts",
        )
    if wrong := [name for name in names if observed[name].early]:
        yield Refused(
            f"the clock of {join_names(wrong)} is behind, so the host's certificate in the swarm "
            "is not valid yet: set the clock (`timedatectl` shows it), "
            "restart Docker (`systemctl restart docker`), and run again",
            code="refused.clock",
        )
    if newer := model.find_newer(names, observed, leader):
        yield Refused(
            f"{leader} has an older state than {join_names(newer)}, where the swarm's other "
            "managers can't be reached yet: run again in a minute, or restart Docker there "
            "(`systemctl restart docker`)",
            code="refused.stale_leader",
        )
    marks = {observed[name].mark for name in names} - {"", "new"}
    if not marks and len(names) < DATA_NODES:
        lost = ", ".join(name for name in inventory if name not in names)
        yield Refused(
            f"a first deploy to a cluster needs {DATA_NODES} reachable hosts, and {lost} can't be "
            "reached: start it, or correct its address, and run again",
            code="refused.missing_host",
        )
    if marks and not any(seen.control for seen in observed.values()):
        yield Refused(
            "no majority of the swarm's managers answers: start the hosts that are down, restart "
            "Docker on the others (`systemctl restart docker`), or follow "
            f"{_RUNBOOK}, 'Two of three lost'",
            code="refused.no_quorum",
        )
    unmarked = [name for name in names if observed[name].mark in ("", "new") and name != leader]
    with_data = [name for name in unmarked if observed[name].data]
    if with_data and not (marks and leader_state.stack):
        yield Refused(
            f"{join_names(with_data)} would join a new swarm of {leader} with PostgreSQL data, "
            "and nothing shows which data are the newest: keep the leader's, and remove the volume "
            f"infisical_patroni on the other hosts ({_RUNBOOK}, 'Whose data')",
            code="refused.ambiguous_data",
        )
    for name in names:
        seen = observed[name]
        if seen.state not in ("", "inactive") and not seen.mark:
            yield Refused(
                f"Docker on {name} is in a Swarm that is not this project's, such as Dokploy's: "
                "use a host of Infisical's own, or let this one leave its Swarm first",
                code="refused.foreign_swarm",
            )
        if len(marks) > 1 and seen.mark not in ("new", leader_state.mark, ""):
            yield Refused(
                f"{name} is in another cluster than {leader}: take it out of the inventory, or let "
                "it leave the other cluster first (run `docker swarm leave --force` on it, and "
                "remove /etc/infisical/swarm)",
                code="refused.other_cluster",
            )
        # A former host of the cluster has an older state of it, never the state of another cluster.
        own = not seen.serial and seen.mark in ("", "new")
        if seen.key and seen.key != leader_state.key and own:
            yield Refused(
                f"{name} has another encryption key than {leader}, so its data belong to another "
                "database: use a host without Infisical",
                code="refused.other_key",
            )


def cluster(
    inventory: Sequence[str],
    observed: Mapping[str, SwarmState],
    *,
    addresses: Mapping[str, str],
    me: str,
) -> Cluster:
    """Return the cluster that the hosts of an inventory form.

    Args:
        inventory: the names of its hosts, in their order.
        observed: the state of each connected host.
        addresses: `cluster_address` by name, for hosts where it is set.
        me: the name of the current host.

    Raises Refused.
    """
    names = [name for name in inventory if name in observed]
    leader = model.choose_leader(names, observed)
    members = observed[leader].members
    for refusal in _refusals(inventory, names, observed, leader):
        raise refusal
    gone = tuple(each for each in members if is_gone(each, inventory, observed))
    staying = [each for each in members if each not in gone]
    # A host may still have the stack of an earlier cluster.
    ours = [
        each
        for each in observed.values()
        if not observed[leader].control or each.mark == observed[leader].mark
    ]
    has_databases = any(each.stack for each in ours)
    nodes = assign_numbers(
        [*match_members(names, observed, addresses, staying)], joins=has_databases and bool(members)
    )
    lost = tuple(lost_members(gone, nodes))
    gone = tuple(each for each in gone if each not in lost)
    nodes = sort_nodes([*nodes, *map(absent_node, lost)])
    is_etcd_reset = has_databases and bool(members) and etcd.can_reset_etcd(nodes)
    nodes = etcd.assign_starts(nodes, reset=is_etcd_reset)
    by_name = {node.name: node for node in nodes}
    for each in nodes:
        if each is not by_name[each.name]:
            raise Refused(
                f"{each.name} was re-created, and the swarm still waits for the former host of "
                "that name: run again in a minute, once the swarm considers the former one down",
                code="refused.not_down_yet",
            )
    return Cluster(
        nodes=nodes,
        me=by_name[me],
        leader=by_name[leader],
        ipvs=not any("ipvs" in node.lacks for node in nodes),
        esp=not any("esp" in node.lacks for node in nodes),
        pool=observed[leader].pool or free_pool(node.address for node in nodes),
        has_databases=has_databases,
        is_etcd_reset=is_etcd_reset,
        first=etcd.find_complete_node(nodes) if is_etcd_reset else 0,
        generation=max(each.generation for each in members) + is_etcd_reset if members else 0,
        gone=gone,
        notes=tuple(_notes(inventory, nodes, lost)),
    )


def _notes(
    inventory: Sequence[str], nodes: Sequence[Node], lost: Sequence[SwarmMember]
) -> Iterable[str]:
    up = {node.name for node in nodes if node.up}
    unreachable = [name for name in inventory if name not in up]
    if unreachable:
        yield (
            f"{', '.join(unreachable)} can't be reached: the run continues with "
            f"{', '.join(sorted(up))}"
        )
    for each in lost:
        yield (
            f"{each.host or each.hostname} is lost, and no reachable host replaces it: the cluster "
            "has two data nodes until one does"
        )
    for node in nodes:
        if not node.up and node.name not in inventory and node.member not in lost:
            yield (
                f"{node.name} is in the swarm, but in no inventory: add it to the inventory, or "
                "shut it down and run again to remove it"
            )


# Seconds to wait for hosts that boot at the same time, and for a swarm that elects a leader.
_CONVERGENCE_SECONDS = 60
_reading = Lock()
_observed: WeakKeyDictionary[State, dict[str, SwarmState]] = WeakKeyDictionary()


def observe() -> Cluster:
    """Return the cluster, as seen from the current host.

    All hosts are observed in parallel, once a run. Raises Refused.
    """
    state = host.state
    with _reading:
        if state not in _observed:
            _observed[state] = _read_when_converged(state)
    hosts: list[Host] = [*state.inventory]
    addresses = {each.name: str(each.data.get("cluster_address") or "") for each in hosts}
    refuse_malformed(addresses)
    return cluster(
        [each.name for each in hosts], _observed[state], addresses=addresses, me=host.name
    )


def _read_when_converged(state: State) -> dict[str, SwarmState]:
    """Return the observed states, after a minute at most for managers to find each other."""
    end = monotonic() + _CONVERGENCE_SECONDS
    while is_converging(observed := _read(state)) and monotonic() < end:
        sleep(2)
    return observed


def forget() -> None:
    """Let the next `observe` observe the hosts again."""
    _observed.pop(host.state, None)


def _read(state: State) -> dict[str, SwarmState]:
    active: list[Host] = state.inventory.get_active_hosts()
    spawned = {each.name: gevent.spawn(_read_host, state, each) for each in active}
    return {name: greenlet.get() for name, greenlet in spawned.items()}


def _read_host(state: State, of: Host) -> SwarmState:
    with ctx_state.use(state), current(of):
        without_delay(of)
        return ask(swarm_question())


def observe_again() -> Mapping[str, SwarmState]:
    """Observe all connected hosts again, and return their states."""
    return _read(host.state)
