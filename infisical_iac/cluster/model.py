"""Tell the nodes of a cluster apart: its data nodes, its managers and the one that leads. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.cluster.swarm_state import Joined, SwarmMember, SwarmState
from infisical_iac.core.audit_entries import Log
from infisical_iac.monitoring.condition import ConditionState, Running

# Where overlay networks may be; Swarm's own choice, 10.0.0.0/8, is where hosts' networks are.
POOLS = ("10.201.0.0/16", "172.30.0.0/16", "192.168.128.0/17")


@dataclass(frozen=True)
class Node:
    """A node as it is to be; `seen` is what it is like, None of one that isn't connected.

    Attributes:
        name: the inventory's for it, or its own if it is in no inventory.
        address: where the other nodes reach it.
        number: from 1 to 3 of a data node, 0 of one that keeps no data.
        manager: whether it has a vote, as each data node.
        joined: `existing` where its etcd joins a consensus that is there, `new` where it begins
            one, empty without a number.
        member: what the swarm has of it, None before it has joined.
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
        """Return whether it is connected in this run."""
        return self.seen is not None

    @property
    def given_up(self) -> bool:
        """Return whether the swarm takes it for down, though its engine runs and is in there."""
        there = self.seen is not None and self.seen.state == "active"
        return there and self.member is not None and self.member.down

    @property
    def etcd(self) -> str:
        """Return how the etcd of a data node is, as SwarmState says it."""
        return self.seen.etcd if self.seen and self.number else ""

    @property
    def lacks(self) -> str:
        """Return what its kernel can't; of one that is away, as it was."""
        if self.seen:
            return self.seen.lacks
        return self.member.lacks if self.member else ""


@dataclass(frozen=True)
class Cluster:
    """The nodes of a cluster, data nodes by their numbers first, and what all must know.

    Attributes:
        me: the node that this is told to; `lead` the one that does what is done once.
        ipvs: whether the kernels of all can balance; `esp` whether all can encrypt an overlay.
        pool: where its overlay networks are, in CIDR notation.
        begun: whether it has had a stack, so that its databases are there.
        anew: whether etcd, which has lost its quorum, begins anew, empty.
        first: then, the number of the one whose PostgreSQL has to be the primary, and starts before
            the others; 0 where one is the primary.
        generation: how often it has begun anew, with this time. Patroni takes an etcd that says
            that it is the same as before, and knows less, for one that lags behind.
        gone: members that are down, and whose host is no longer in the inventory or is a new one;
            a data node only once another one has its number.
        notes: sentences on what is not as it should be, and is not this run's to mend.
    """

    nodes: tuple[Node, ...]
    me: Node
    lead: Node
    ipvs: bool
    esp: bool = False
    pool: str = POOLS[0]
    begun: bool = False
    anew: bool = False
    first: int = 0
    generation: int = 0
    gone: tuple[SwarmMember, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def leads(self) -> bool:
        """Return whether this is told to the lead."""
        return self.me.name == self.lead.name

    @property
    def connected_nodes(self) -> tuple[Node, ...]:
        """The nodes that this run works on."""
        return tuple(node for node in self.nodes if node.up)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the data nodes; all there can be, once there are databases."""
        if self.begun:
            return tuple(range(1, DATA_NODES + 1))
        return tuple(node.number for node in self.nodes if node.number)

    @property
    def existing(self) -> frozenset[int]:
        """The numbers of those whose etcd joins what is there."""
        return frozenset(node.number for node in self.nodes if node.joined == "existing")

    @property
    def holders(self) -> frozenset[int]:
        """The numbers of those that have PostgreSQL's data."""
        return frozenset(node.number for node in self.nodes if node.seen and node.seen.data)

    @property
    def peers(self) -> tuple[str, ...]:
        """The addresses of all nodes, in a steady order."""
        return tuple(sorted({node.address for node in self.nodes}))

    @property
    def turn(self) -> int:
        """Return which one this is, from 0, where the nodes take turns."""
        return [node.name for node in self.nodes].index(self.me.name)


def free_pool(addresses: Iterable[str]) -> str:
    """Where overlay networks may be, in CIDR notation: none of the nodes is in there."""
    taken = [ip_address(each) for each in addresses]
    return next(
        (pool for pool in POOLS if not any(each in ip_network(pool) for each in taken)), POOLS[0]
    )


@dataclass(frozen=True)
class ManagedNode:
    """A node as a manager sees it.

    Attributes:
        status: `ready` or `down`; `availability` is `active`, `pause` or `drain`.
        manager: `leader`, `reachable` or `unreachable`; `-` of a worker.
        number: that of its data, as in `postgres-2`; 0 of a node without any.
    """

    name: str
    status: str
    availability: str
    manager: str
    number: int

    @property
    def trouble(self) -> str:
        """Return what is wrong with it, in a word; empty if nothing is."""
        if self.status != "ready":
            return self.status
        if self.availability != "active":
            return {"drain": "drained", "pause": "paused"}.get(self.availability, "")
        return "unreachable as a manager" if self.manager == "unreachable" else ""


@dataclass(frozen=True)
class Copy:
    """A standby as its primary sees it: `sync` is `sync`, `quorum`, `async` or `potential`."""

    name: str
    state: str
    sync: str
    behind: int


@dataclass(frozen=True)
class NodeState:
    """Hold what one node says; the default is that of one which says nothing.

    Attributes:
        condition: what any host says.
        log: its audit log.
        members: all nodes, if it is a manager.
        tasks: the containers that run on it, by what they do, such as `postgres`.
        copies: the standbys, if its PostgreSQL is the primary.
        postgres: `primary`, `standby`, or `silent`; empty where none runs. Likewise `etcd`, which
            is `healthy` or not, `redis`, which is `master` or `slave`, and `sentinel`, which is the
            name of the master.
        tls: the level of the service that is the least far on its way to TLS, None where the node
            is no manager or there is no stack.
        leaf_ends: when the first certificate within the cluster ends, in seconds since the epoch;
            None where the node has none.
        overlay: `encrypted` or `plain`, as the network is made that requests take to Infisical;
            empty where the node knows of none.
    """

    condition: ConditionState = field(default_factory=ConditionState)
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


def choose_lead(names: Sequence[str], looks: Mapping[str, SwarmState]) -> str:
    """The working manager with the newest state; of equals the one that led, then the first."""

    def rank(name: str) -> tuple[bool, bool, int, bool, bool]:
        look = looks[name]
        # What a host that was alone has would otherwise be lost to one that has nothing.
        keeps = bool(look.key)
        return (
            look.control,
            look.state in ("active", "locked"),
            look.serial,
            look.led == look.serial > 0,
            keeps,
        )

    return max(names, key=rank)


def is_settling(looks: Mapping[str, SwarmState]) -> bool:
    """Return whether managers are about to find together, so that in a moment more will be known.

    That is so where most of those that there must be can be reached, and the one that would lead
    has no majority behind it, an older state than one that is not with them yet, or takes the lead
    from one that has just lost sight of them: what that one began would be forgotten.
    """
    known = [name for name, look in looks.items() if look.mark not in ("", "new")]
    if len(known) * 2 <= DATA_NODES or not any(_looking(looks[name]) for name in known):
        return False
    lead = choose_lead(known, looks)
    there = {each.id for each in looks[lead].members if each.manager and not each.down}
    led = any(
        _looking(look) and look.id in there and look.led == look.serial == looks[lead].serial
        for look in looks.values()
    )
    return not looks[lead].control or bool(newer(known, looks, lead)) or led


def newer(names: Sequence[str], looks: Mapping[str, SwarmState], lead: str) -> list[str]:
    """Managers of the lead's swarm with a newer state, which look for the others."""
    managers = {each.id for each in looks[lead].members if each.manager}
    return [
        name
        for name in names
        if _looking(looks[name])
        and looks[name].id in managers
        and looks[name].serial > looks[lead].serial
    ]


def _looking(look: SwarmState) -> bool:
    """Return whether an engine is in a swarm, and may find its managers by itself."""
    return look.state in ("active", "pending") and look.serial > 0 and not look.control
