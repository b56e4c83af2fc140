"""Model a cluster: its data nodes, its managers and its leader. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from infisical_iac.agent.health import Running
from infisical_iac.agent.membership import Joined, SwarmMember, SwarmState
from infisical_iac.agent.node_health import Copy, ManagedNode
from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.core.audit_entries import Log
from infisical_iac.monitoring.health import HealthState

# Address ranges for overlay networks. Swarm's default, 10.0.0.0/8, collides with hosts' networks.
POOLS = ("10.201.0.0/16", "172.30.0.0/16", "192.168.128.0/17")


@dataclass(frozen=True)
class Node:
    """A node as desired, with its observed state.

    Attributes:
        name: its name in the inventory, or its own if it is in no inventory.
        address: where the other nodes reach it.
        number: 1 to 3 for a data node, 0 for a node without data.
        manager: whether it has a vote in the swarm, as every data node has.
        joined: `existing` if its etcd joins an existing one, `new` if it bootstraps one, empty
            without a number.
        seen: its observed state, None if it isn't connected.
        member: its entry in the swarm, None before it has joined.
    """

    name: str
    address: str
    number: int
    manager: bool
    joined: Joined
    seen: SwarmState | None = None
    member: SwarmMember | None = None

    @property
    def up(self) -> bool:
        """Return whether this run is connected to the node."""
        return self.seen is not None

    @property
    def is_cut_off(self) -> bool:
        """Return whether the swarm considers the node down though its engine runs as a member."""
        there = self.seen is not None and self.seen.state == "active"
        return there and self.member is not None and self.member.down

    @property
    def etcd(self) -> str:
        """Return the state of a data node's etcd, as in SwarmState."""
        return self.seen.etcd if self.seen and self.number else ""

    @property
    def lacks(self) -> str:
        """Return what the node's kernel lacks; for an unreachable node, as last recorded."""
        if self.seen:
            return self.seen.lacks
        return self.member.lacks if self.member else ""


@dataclass(frozen=True)
class Cluster:
    """A cluster, as seen from one of its hosts.

    Attributes:
        nodes: all nodes, data nodes first by number.
        me: the current host's node.
        leader: the node that runs the steps which the cluster needs only once.
        ipvs: whether all kernels can balance connections.
        esp: whether all kernels can encrypt an overlay network.
        pool: the range of its overlay networks, in CIDR notation.
        has_databases: whether it has had a stack, so that databases exist.
        is_etcd_reset: whether etcd has lost its quorum and is bootstrapped again, empty.
        first: with `is_etcd_reset`, the number of the node whose PostgreSQL starts first and must
            become the primary; 0 if there is a primary.
        generation: how often etcd was bootstrapped again, this time included. Patroni would take
            an empty etcd with the old name for a member that lags behind.
        gone: members that are down and whose host has left the inventory or was re-created; a data
            node only once another node has its number.
        notes: sentences on problems that this run does not repair.
    """

    nodes: tuple[Node, ...]
    me: Node
    leader: Node
    ipvs: bool
    esp: bool = False
    pool: str = POOLS[0]
    has_databases: bool = False
    is_etcd_reset: bool = False
    first: int = 0
    generation: int = 0
    gone: tuple[SwarmMember, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def leads(self) -> bool:
        """Return whether the current host is the leader."""
        return self.me.name == self.leader.name

    @property
    def connected_nodes(self) -> tuple[Node, ...]:
        """Return the nodes that this run is connected to."""
        return tuple(node for node in self.nodes if node.up)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the data nodes; all possible numbers once databases exist."""
        if self.has_databases:
            return tuple(range(1, DATA_NODES + 1))
        return tuple(node.number for node in self.nodes if node.number)

    @property
    def existing(self) -> frozenset[int]:
        """Return the numbers of the nodes whose etcd joins an existing one."""
        return frozenset(node.number for node in self.nodes if node.joined == "existing")

    @property
    def holders(self) -> frozenset[int]:
        """Return the numbers of the nodes that have PostgreSQL's data."""
        return frozenset(node.number for node in self.nodes if node.seen and node.seen.data)

    @property
    def peers(self) -> tuple[str, ...]:
        """Return the addresses of all nodes, sorted."""
        return tuple(sorted({node.address for node in self.nodes}))

    @property
    def turn(self) -> int:
        """Return the current host's position, from 0, where the nodes take turns."""
        return [node.name for node in self.nodes].index(self.me.name)


def free_pool(addresses: Iterable[str]) -> str:
    """Return a range for overlay networks, in CIDR notation, with no node's address in it."""
    taken = [ip_address(each) for each in addresses]
    return next(
        (pool for pool in POOLS if not any(each in ip_network(pool) for each in taken)), POOLS[0]
    )


@dataclass(frozen=True)
class NodeState:
    """The observed state of one node, for the status; the defaults are for a silent node.

    Attributes:
        health: the health of the host, as for a single host.
        log: its audit log.
        members: all nodes, if it is a manager.
        tasks: the containers that run on it, by role, such as `postgres`.
        copies: the standbys, if its PostgreSQL is the primary.
        postgres: `primary`, `standby` or `silent`; empty if none runs here.
        etcd: `healthy` or another state; empty if none runs here.
        redis: `master` or `slave`; empty if none runs here.
        sentinel: the master that its sentinel names; empty if none runs here.
        tls: the lowest TLS level of all services; None if the node is not a manager or there is no
            stack.
        leaf_ends: when the first certificate within the cluster ends, in seconds since the epoch;
            None if the node has none.
        overlay: `encrypted` or `plain`, for the network that carries requests to Infisical; empty
            if the node does not know it.
    """

    health: HealthState = field(default_factory=HealthState)
    log: Log = field(default_factory=lambda: Log([]))
    members: tuple[ManagedNode, ...] = ()
    tasks: Mapping[str, list[Running]] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()
    postgres: str = ""
    etcd: str = ""
    redis: str = ""
    sentinel: str = ""
    overlay: str = ""
    tls: int | None = None
    leaf_ends: int | None = None


Nodes = Mapping[str, NodeState]


def choose_leader(names: Sequence[str], observed: Mapping[str, SwarmState]) -> str:
    """Return the working manager with the newest state.

    Among equals, the last leader wins, then the first by inventory.
    """

    def rank(name: str) -> tuple[bool, bool, int, bool, bool]:
        seen = observed[name]
        # Otherwise a former single host could lose its keys to a host that has none.
        keeps = bool(seen.key)
        return (
            seen.control,
            seen.state in ("active", "locked"),
            seen.serial,
            seen.serial_as_leader == seen.serial > 0,
            keeps,
        )

    return max(names, key=rank)


def is_converging(observed: Mapping[str, SwarmState]) -> bool:
    """Return whether managers are about to find each other, so that it is worth observing again.

    That is so if a majority of the managers can be reached and the would-be leader

    * has no majority behind it, or
    * has an older state than a manager that still searches for the others, or
    * would replace a leader that has just lost contact, which would discard its unfinished work.
    """
    known = [name for name, seen in observed.items() if seen.mark not in ("", "new")]
    if len(known) * 2 <= DATA_NODES or not any(_is_searching(observed[name]) for name in known):
        return False
    leader = choose_leader(known, observed)
    there = {each.id for each in observed[leader].members if each.manager and not each.down}
    is_displacing = any(
        _is_searching(seen)
        and seen.id in there
        and seen.serial_as_leader == seen.serial == observed[leader].serial
        for seen in observed.values()
    )
    has_newer = bool(find_newer(known, observed, leader))
    return not observed[leader].control or has_newer or is_displacing


def find_newer(names: Sequence[str], observed: Mapping[str, SwarmState], leader: str) -> list[str]:
    """Return the managers with a newer state than the leader that still search for its swarm."""
    managers = {each.id for each in observed[leader].members if each.manager}
    return [
        name
        for name in names
        if _is_searching(observed[name])
        and observed[name].id in managers
        and observed[name].serial > observed[leader].serial
    ]


def _is_searching(seen: SwarmState) -> bool:
    """Return whether an engine is in a swarm and still searches for its managers."""
    return seen.state in ("active", "pending") and seen.serial > 0 and not seen.control
