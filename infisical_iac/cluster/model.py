"""Tell the nodes of a cluster apart: its data nodes, its managers and the one that leads. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.core.errors import UserError
from infisical_iac.facts.swarm_state import Joined, Member, SwarmState

# Where overlay networks may be; Swarm's own choice, 10.0.0.0/8, is where hosts' networks are.
POOLS = ("10.201.0.0/16", "172.30.0.0/16", "192.168.128.0/17")


class ClusterRefused(UserError):
    """The hosts of the inventory are no cluster, or can't become or stay one."""


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
        serial: of the shared state that it has.
        member: what the swarm has of it, None before it has joined.
    """

    name: str
    address: str
    hostname: str
    number: int
    manager: bool
    joined: Joined
    serial: int
    seen: SwarmState | None = None
    member: Member | None = None

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
    gone: tuple[Member, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def leads(self) -> bool:
        """Return whether this is told to the lead."""
        return self.me.name == self.lead.name

    @property
    def connected(self) -> tuple[Node, ...]:
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
