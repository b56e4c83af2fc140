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

from infisical_iac.cluster import etcd, model
from infisical_iac.cluster.model import Cluster, Node, free_pool, is_settling
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.cluster.swarm_state import Swarm, SwarmMember, SwarmState
from infisical_iac.cluster.validation import refuse_malformed
from infisical_iac.core.connection import current, without_delay
from infisical_iac.core.errors import Refused


def is_gone(member: SwarmMember, inventory: Sequence[str], looks: Mapping[str, SwarmState]) -> bool:
    """Return whether a member won't come back: its host is in no inventory, or was re-created."""
    if not member.down or any(_is(member, name, look) for name, look in looks.items()):
        return False
    return member.host not in inventory or member.host in looks


def _is(member: SwarmMember, name: str, look: SwarmState) -> bool:
    if look.id:
        return member.id == look.id
    # An engine that is locked or does not answer reports no id. One that has left the swarm, or
    # whose certificate has expired, is another member.
    return member.host == name and bool(look.mark) and look.state != "inactive" and not look.expired


def match_members(
    names: Sequence[str],
    looks: Mapping[str, SwarmState],
    addresses: Mapping[str, str],
    members: Sequence[SwarmMember],
) -> Iterable[Node]:
    """Yield a node for each connected host, with its member if it has one, then one for each
    member that is no connected host.

    Raises Refused.
    """
    left = list(members)
    for name in names:
        look = looks[name]
        member = next((each for each in left if _is(each, name, look)), None)
        if member:
            left.remove(member)
        address = addresses.get(name) or look.advertised or look.address
        if not address:
            raise Refused(
                f"{name} has no default route, so its address is unknown: set cluster_address to "
                "the address at which the other nodes reach it"
            )
        if member and look.advertised and address != look.advertised:
            raise Refused(
                f"setting 'cluster_address': {name} is in the swarm as {look.advertised}, not as "
                f"{address}: let it leave the swarm (`docker swarm leave --force` on it), and run "
                "again"
            )
        number, joined = (member.number, member.joined) if member else (0, "")
        yield Node(name, address, number, False, joined, look, member)
    yield from map(absent_node, left)


def absent_node(member: SwarmMember) -> Node:
    """Return a node of which nothing is known but its member in the swarm."""
    name = member.host or member.hostname
    return Node(name, member.address, member.number, member.manager, member.joined, None, member)


def lost_members(gone: Sequence[SwarmMember], nodes: Sequence[Node]) -> Iterable[SwarmMember]:
    """Yield the members that won't come back and whose number is still free: it stays theirs.

    Otherwise the stack would be rolled out for fewer data nodes first, and for three again later.
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


_RUNBOOK = "docs/operate/cluster/runbooks.md"


def _refusals(
    inventory: Sequence[str], names: Sequence[str], looks: Mapping[str, SwarmState], lead: str
) -> Iterator[str]:
    """Yield the reasons why the hosts can't form a cluster, or can't at the moment.

    Args:
        inventory: the names of its hosts.
        names: the connected ones of them.
        looks: the observed states of those.
        lead: the one of them that would lead.
    """
    leads = looks[lead]
    if len(inventory) < DATA_NODES:
        clustered = any(looks[name].stack for name in names)
        or_single = "" if clustered else ", or set topology to 'single'"
        yield (
            f"setting 'topology': a swarm needs {DATA_NODES} hosts or more, and the inventory has "
            f"{len(inventory)}: add hosts{or_single}"
        )
    if wrong := [name for name in names if looks[name].early]:
        yield (
            f"the clock of {' and '.join(wrong)} is behind, so the host's certificate in the swarm "
            "is not valid yet: set the clock (`timedatectl` shows it), "
            "restart Docker (`systemctl restart docker`), and run again"
        )
    if newer := model.newer(names, looks, lead):
        yield (
            f"{lead} has an older state than {' and '.join(newer)}, which the swarm's managers "
            "wait for: run again in a minute, or restart Docker there (`systemctl restart docker`)"
        )
    marks = {looks[name].mark for name in names} - {"", "new"}
    if not marks and len(names) < DATA_NODES:
        lost = ", ".join(name for name in inventory if name not in names)
        yield (
            f"a first deploy to a cluster needs {DATA_NODES} reachable hosts, and {lost} can't be "
            "reached: make it reachable, and run again"
        )
    if marks and not any(look.control for look in looks.values()):
        yield (
            "no reachable host is a manager with a majority behind it: bring the others "
            "back, start Docker there (`systemctl restart docker`), or follow "
            f"{_RUNBOOK}, 'Two of three lost'"
        )
    unmarked = [name for name in names if looks[name].mark in ("", "new") and name != lead]
    with_data = [name for name in unmarked if looks[name].data]
    if with_data and not (marks and leads.stack):
        yield (
            f"{' and '.join(with_data)} would join a new swarm of {lead} with PostgreSQL data, and "
            "nothing shows which data are the newest: keep the leader's, and remove the volume "
            f"infisical_patroni on the other hosts ({_RUNBOOK}, 'Whose data')"
        )
    for name in names:
        look = looks[name]
        if look.state not in ("", "inactive") and not look.mark:
            yield (
                f"Docker on {name} is in a Swarm that is not this project's, such as Dokploy's: "
                "use a host of Infisical's own, or let this one leave its Swarm first"
            )
        if len(marks) > 1 and look.mark not in ("new", leads.mark, ""):
            yield (
                f"{name} is in another cluster than {lead}: take it out of the inventory, or let "
                "it leave that one first (`docker swarm leave --force`, and remove "
                "/etc/infisical/swarm)"
            )
        # A host that was once part of the cluster has an older state of it, never another's.
        own = not look.serial and look.mark in ("", "new")
        if look.key and look.key != leads.key and own:
            yield (
                f"{name} has another encryption key than {lead}, which another database needs: use "
                "a host without Infisical"
            )


def cluster(
    inventory: Sequence[str],
    looks: Mapping[str, SwarmState],
    *,
    addresses: Mapping[str, str],
    me: str,
) -> Cluster:
    """Return the cluster that the hosts of an inventory form.

    Args:
        inventory: the names of its hosts, in their order.
        looks: the observed state of each connected host.
        addresses: `cluster_address` by name, for hosts where it is set.
        me: the name of the current host.

    Raises Refused.
    """
    names = [name for name in inventory if name in looks]
    lead = model.choose_lead(names, looks)
    members = looks[lead].members
    for reason in _refusals(inventory, names, looks, lead):
        raise Refused(reason)
    gone = tuple(each for each in members if is_gone(each, inventory, looks))
    staying = [each for each in members if each not in gone]
    # A host may still have the stack of an earlier cluster.
    ours = [
        each for each in looks.values() if not looks[lead].control or each.mark == looks[lead].mark
    ]
    begun = any(each.stack for each in ours)
    nodes = assign_numbers(
        [*match_members(names, looks, addresses, staying)], joins=begun and bool(members)
    )
    lost = tuple(lost_members(gone, nodes))
    gone = tuple(each for each in gone if each not in lost)
    nodes = sort_nodes([*nodes, *map(absent_node, lost)])
    anew = begun and bool(members) and etcd.can_begin_anew(nodes)
    nodes = etcd.assign_beginnings(nodes, anew=anew)
    by_name = {node.name: node for node in nodes}
    for each in nodes:
        if each is not by_name[each.name]:
            raise Refused(
                f"{each.name} was re-created, and the swarm still waits for the host that had its "
                "name: run again in a minute, when the swarm considers that one down"
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
        first=etcd.furthest(nodes) if anew else 0,
        generation=max(each.generation for each in members) + anew if members else 0,
        gone=gone,
        notes=tuple(_notes(inventory, nodes, lost)),
    )


def _notes(
    inventory: Sequence[str], nodes: Sequence[Node], lost: Sequence[SwarmMember]
) -> Iterable[str]:
    up = {node.name for node in nodes if node.up}
    away = [name for name in inventory if name not in up]
    if away:
        yield f"{', '.join(away)} can't be reached: the run continues with {', '.join(sorted(up))}"
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


# Seconds for hosts that boot at the same time, and for a swarm that elects a leader.
_SETTLING_SECONDS = 60
_reading = Lock()
_looks: WeakKeyDictionary[State, dict[str, SwarmState]] = WeakKeyDictionary()


def observe() -> Cluster:
    """Return the cluster, as seen from the current host.

    All hosts are observed in parallel, once a run. Raises Refused.
    """
    state = host.state
    with _reading:
        if state not in _looks:
            _looks[state] = _read_when_converged(state)
    hosts: list[Host] = [*state.inventory]
    addresses = {each.name: str(each.data.get("cluster_address") or "") for each in hosts}
    refuse_malformed(addresses)
    return cluster([each.name for each in hosts], _looks[state], addresses=addresses, me=host.name)


def _read_when_converged(state: State) -> dict[str, SwarmState]:
    """Return the observed states, once managers that just started have met or had time to."""
    end = monotonic() + _SETTLING_SECONDS
    while is_settling(looks := _read(state)) and monotonic() < end:
        sleep(2)
    return looks


def forget() -> None:
    """Let the next `observe` observe the hosts again."""
    _looks.pop(host.state, None)


def _read(state: State) -> dict[str, SwarmState]:
    active: list[Host] = state.inventory.get_active_hosts()
    spawned = {each.name: gevent.spawn(_look, state, each) for each in active}
    return {name: greenlet.get() for name, greenlet in spawned.items()}


def _look(state: State, of: Host) -> SwarmState:
    with ctx_state.use(state), current(of):
        without_delay(of)
        return of.get_fact(Swarm)


def observe_again() -> Mapping[str, SwarmState]:
    """Observe all connected hosts again, and return their states."""
    return _read(host.state)
