"""Read what a host has of the swarm, and what its managers know of the nodes: the values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from infisical_iac.facts.files import PathState
from infisical_iac.facts.units import UnitState

# The labels of a node, which managers keep.
HOST, NUMBER, JOINED = "infisical.host", "infisical.node", "infisical.joined"
LACKS, ETCD = "infisical.lacks", "infisical.etcd"
Joined = Literal["", "new", "existing"]


@dataclass(frozen=True)
class Member:
    """A node of the swarm as its managers see it.

    Attributes:
        id: Swarm's own name for it.
        host: the inventory's name for it, `number` that of a data node (else 0) and `joined` how
            its etcd came to the others: this project's labels, empty on a node without.
        down: whether it has not answered for a while; `active` whether it may be given work.
        manager: whether it is one, or is to be one; `leader` whether it leads the managers.
        lacks: what its kernel can't, as SwarmState says it: a label of ours.
        generation: how often the etcd that it is of has begun anew: a label of ours.
    """

    id: str
    hostname: str
    address: str
    host: str
    number: int
    joined: Joined
    down: bool
    active: bool
    manager: bool
    leader: bool
    lacks: str = ""
    generation: int = 0


@dataclass(frozen=True)
class SwarmState:
    """One host's view.

    Attributes:
        address: what its default route leaves from, empty without one.
        hostname: its own name.
        ipvs: whether its kernel can balance; `esp` whether it can encrypt an overlay.
        single: whether the stack of a single host was deployed to it; `stack` whether a cluster's.
        data: whether it has the data of a cluster's PostgreSQL.
        etcd: `well` where its etcd has a majority behind it, `lost` where that has no data or does
            not start with them, else empty. Where it isn't well, `primary` tells whether its
            PostgreSQL takes writes; if not, `wal` is the timeline and the position of the last
            record that it has written, (0, 0) where that can't be told.
        state: of Docker's engine in a swarm, `active`, `locked`, …; `error` where it can't start in
            it any more, `inactive` in none, and empty where no engine answers.
        expired: whether that is because its certificate has ended; `early` whether because, by the
            host's clock, it has not begun.
        live_restore: whether its containers would outlive its engine, which no swarm lets them.
        id: its node's; `advertised` the address that the other nodes know it by.
        control: whether it is a manager that works, with a majority behind it.
        swarm: the id of the swarm that a manager is in.
        mark: the id of the swarm that this project brought the host into, or `new` while it does.
        autolock: whether the swarm locks its managers' keys; `unlocks` whether the key on the host
            opens it; `expiry` after how many seconds a node's certificate ends.
        pool: where the overlay networks are, in CIDR notation.
        members: all nodes, none where the host is no working manager.
        serial: the number of the shared state that it has, 0 for none; `led` the one by which it
            was the lead; `digest` of that state; `key` a fingerprint of the encryption key.
        files: what is at PROGRAM, HANDING_OVER, UNIT_FILE and DAEMON_FILE of facts/swarm.py, by
            path; `units`: its UNIT, by name.
    """

    address: str = ""
    hostname: str = ""
    ipvs: bool = False
    esp: bool = False
    single: bool = False
    stack: bool = False
    data: bool = False
    etcd: Literal["", "well", "lost"] = ""
    primary: bool = False
    wal: tuple[int, int] = (0, 0)
    state: str = ""
    expired: bool = False
    early: bool = False
    live_restore: bool = False
    id: str = ""
    advertised: str = ""
    control: bool = False
    swarm: str = ""
    mark: str = ""
    autolock: bool = False
    unlocks: bool = False
    expiry: int = 0
    pool: str = ""
    members: tuple[Member, ...] = ()
    serial: int = 0
    led: int = 0
    digest: str = ""
    key: str = ""
    files: Mapping[str, PathState] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)

    @property
    def lacks(self) -> str:
        """Return what its kernel can't: `esp`, `ipvs` or `esp,ipvs`, empty if it can both."""
        return ",".join(name for name in ("esp", "ipvs") if not getattr(self, name))
