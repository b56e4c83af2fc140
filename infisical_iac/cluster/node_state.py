"""Hold what one node of a cluster says of its condition."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_iac.core.audit_log import Log
from infisical_iac.monitoring.condition import ConditionState, Running


@dataclass(frozen=True)
class Member:
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
    members: tuple[Member, ...] = ()
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
