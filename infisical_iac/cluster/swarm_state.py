"""Reading what a host has of the swarm, in one command."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infisical_iac.core.facts import Fact, joined, parted
from infisical_iac.core.files import Paths, PathState
from infisical_iac.core.rendering import script
from infisical_iac.core.units import Units, UnitState
from infisical_iac.host.machine import DAEMON_FILE

# The labels of a node, which managers keep.
HOST, NUMBER, JOINED = "infisical.host", "infisical.node", "infisical.joined"
LACKS, ETCD = "infisical.lacks", "infisical.etcd"
Joined = Literal["", "new", "existing"]


@dataclass(frozen=True)
class SwarmMember:
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
        files: what is at PROGRAM, HANDING_OVER, UNIT_FILE of this module and at DAEMON_FILE,
            by path; `units`: its UNIT, by name.
    """

    address: str = ""
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
    members: tuple[SwarmMember, ...] = ()
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


# What opens the host's part in the swarm when Docker starts.
UNIT = "infisical-unlock.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
PROGRAM = "/usr/local/lib/infisical-iac/swarm-unlock.sh"
HANDING_OVER = "/usr/local/lib/infisical-iac/hand-over.sh"
# Go says "has expired or is not yet valid" of both: what tells them apart is what Swarm, or a newer
# Go, says besides.
_ENDED = re.compile(r"certificate .*not valid after|current time \S+ is after ")
_NOT_BEGUN = re.compile(r"certificate .*not valid before|current time \S+ is before ")


class Swarm(Fact[SwarmState]):
    """The SwarmState of a host."""

    def command(self) -> str:
        paths = [PROGRAM, HANDING_OVER, UNIT_FILE, DAEMON_FILE]
        return joined(
            f"{script('swarm-look')}; true", Paths().command(paths), Units().command([UNIT], {})
        )

    def process(self, output: list[str]) -> SwarmState:
        lines, files, units = parted(output)
        pairs = [(key, rest.strip()) for key, _, rest in (line.partition(" ") for line in lines)]
        found = dict(pairs)
        info = _json(found.get("info", ""))
        cluster = info.get("Cluster") or {}
        spec = cluster.get("Spec") or {}
        members = tuple(_member(_json(text)) for key, text in pairs if key == "node")
        return SwarmState(
            address=found.get("address", ""),
            ipvs="ipvs" in found,
            esp="esp" in found,
            single="single" in found,
            stack="stack" in found,
            data="data" in found,
            etcd=_etcd(found.get("etcd", "")),
            primary="primary" in found,
            wal=_position(found.get("wal", "")),
            state=info.get("LocalNodeState", ""),
            expired=bool(_ENDED.search(info.get("Error", ""))),
            early=bool(_NOT_BEGUN.search(info.get("Error", ""))),
            live_restore="live-restore" in found,
            id=info.get("NodeID", ""),
            advertised=info.get("NodeAddr", ""),
            # While the managers choose a leader, one of them says half of it.
            control=bool(info.get("ControlAvailable") and cluster.get("ID") and members),
            swarm=cluster.get("ID", ""),
            mark=found.get("mark", ""),
            autolock=bool(spec.get("EncryptionConfig", {}).get("AutoLockManagers")),
            unlocks="unlocks" in found,
            expiry=spec.get("CAConfig", {}).get("NodeCertExpiry", 0) // 10**9,
            pool=" ".join(cluster.get("DefaultAddrPool") or ()),
            members=members,
            serial=_number(found.get("serial", "")),
            led=_number(found.get("led", "")),
            digest=found.get("state", ""),
            key=found.get("key", ""),
            files=Paths().process(files),
            units=Units().process(units),
        )


def _member(found: Mapping[str, Any]) -> SwarmMember:
    spec, status = found.get("Spec", {}), found.get("Status", {})
    labels, manages = spec.get("Labels") or {}, found.get("ManagerStatus") or {}
    # A manager says of itself that it is at 0.0.0.0.
    address = manages.get("Addr", "").rpartition(":")[0].strip("[]") or status.get("Addr", "")
    joined = labels.get(JOINED, "")
    return SwarmMember(
        id=found.get("ID", ""),
        hostname=found.get("Description", {}).get("Hostname", ""),
        address=address,
        host=labels.get(HOST, ""),
        number=_number(labels.get(NUMBER, "")),
        joined=joined if joined in ("new", "existing") else "",
        down=status.get("State") == "down",
        active=spec.get("Availability") == "active",
        manager=spec.get("Role") == "manager",
        leader=bool(manages.get("Leader")),
        lacks=labels.get(LACKS, ""),
        generation=_number(labels.get(ETCD, "")),
    )


def _json(text: str) -> dict[str, Any]:
    found = json.loads(text) if text.startswith("{") else {}
    return dict(found)


def _etcd(text: str) -> Literal["", "well", "lost"]:
    return "well" if text == "well" else "lost" if text == "lost" else ""


def _position(text: str) -> tuple[int, int]:
    """The timeline and the position in `00000003 0/501CB28`, as PostgreSQL writes them."""
    match = re.fullmatch(r"([0-9A-F]+) ([0-9A-F]+)/([0-9A-F]+)", text)
    if not match:
        return 0, 0
    timeline, high, low = (int(part, 16) for part in match.groups())
    return timeline, (high << 32) + low


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
