"""Read a host's state in the swarm, in one command."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.core.agent import Question, fact_question, question, together
from infisical_iac.core.remote import Fact
from infisical_iac.core.rendering import script
from infisical_iac.core.units import question_for
from infisical_iac.host.machine import DAEMON_FILE

# Labels of a node, which the managers keep.
HOST, NUMBER, JOINED = "infisical.host", "infisical.node", "infisical.joined"
LACKS, ETCD = "infisical.lacks", "infisical.etcd"
Joined = Literal["", "new", "existing"]


@dataclass(frozen=True)
class SwarmMember:
    """A node of the swarm as its managers see it.

    Attributes:
        id: its id in Swarm.
        host: its name in the inventory; this and the next two are labels of this project.
        number: the number of a data node, else 0.
        joined: how its etcd joined the others, as for Node.
        down: whether it has not answered for a while.
        active: whether it accepts tasks.
        manager: whether it is a manager, or is about to become one.
        leader: whether it is Swarm's leader among the managers.
        lacks: what its kernel lacks, as in SwarmState; a label of this project.
        generation: how often its etcd was bootstrapped again; a label of this project.
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
    """The state of one host, as the host sees it.

    Attributes:
        address: the source address of its default route, empty without one.
        ipvs: whether its kernel can balance connections.
        esp: whether its kernel can encrypt an overlay network.
        single: whether the stack of a single host was deployed to it.
        stack: whether the stack of a cluster was deployed to it.
        data: whether it has the data of a cluster's PostgreSQL.
        etcd: `healthy` if its etcd has a quorum, `lost` if its etcd has no data or does not start
            with its data, else empty.
        primary: whether its PostgreSQL accepts writes; read only if etcd isn't `healthy`.
        wal: if it is not the primary, the timeline and position of its last written record; (0, 0)
            if unknown.
        state: of Docker's engine in a swarm: `active`, `locked`, …; `error` if it can't start in
            the swarm, `inactive` without a swarm, empty if no engine answers.
        expired: whether the error is an expired certificate.
        early: whether the error is a certificate that, by the host's clock, is not valid yet.
        live_restore: whether its containers would survive a stop of the engine, which Swarm does
            not allow.
        id: the id of its node.
        advertised: the address by which the other nodes know it.
        control: whether it is a working manager, with a majority behind it.
        swarm: the id of the swarm, on a manager.
        mark: the id of the swarm that this project brought the host into, or `new` while it does.
        autolock: whether the swarm locks its managers' keys.
        unlocks: whether the key on the host unlocks it.
        expiry: the lifetime of a node's certificate, in seconds.
        pool: the range of the overlay networks, in CIDR notation.
        members: all nodes; none if the host is not a working manager.
        serial: the serial of its copy of the shared state, 0 for none.
        serial_as_leader: the serial under which it was the leader.
        digest: the digest of its copy of the shared state.
        key: a fingerprint of the encryption key.
        files: the state of PROGRAM, HANDING_OVER, UNIT_FILE and DAEMON_FILE, by path.
        units: the state of UNIT, by name.
    """

    address: str = ""
    ipvs: bool = False
    esp: bool = False
    single: bool = False
    stack: bool = False
    data: bool = False
    etcd: Literal["", "healthy", "lost"] = ""
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
    serial_as_leader: int = 0
    digest: str = ""
    key: str = ""
    files: Mapping[str, PathState] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)

    @property
    def lacks(self) -> str:
        """Return what the host's kernel lacks: `esp`, `ipvs` or `esp,ipvs`; empty if nothing."""
        return ",".join(name for name in ("esp", "ipvs") if not getattr(self, name))


# The unit that unlocks the host's manager when Docker starts.
UNIT = "infisical-unlock.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
PROGRAM = "/usr/local/lib/infisical-iac/swarm-unlock.sh"
HANDING_OVER = "/usr/local/lib/infisical-iac/hand-over.sh"
# Go says "has expired or is not yet valid" in both cases; only the text that Swarm or a newer Go
# adds distinguishes them.
_ENDED = re.compile(r"certificate .*not valid after|current time \S+ is after ")
_NOT_BEGUN = re.compile(r"certificate .*not valid before|current time \S+ is before ")


def swarm_question() -> Question[SwarmState]:
    """Return the question for the SwarmState of a host, with its files and units."""
    return together(
        lambda state, files, units: replace(state, files=files, units=units),
        fact_question(Swarm),
        question(states, paths=[PROGRAM, HANDING_OVER, UNIT_FILE, DAEMON_FILE]),
        question_for([UNIT]),
    )


class Swarm(Fact[SwarmState]):
    """Read the SwarmState of a host, without its files and units."""

    def command(self) -> str:
        return f"{script('swarm-inspect')}; true"

    def process(self, output: list[str]) -> SwarmState:
        pairs = [(key, rest.strip()) for key, _, rest in (line.partition(" ") for line in output)]
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
            # While the managers elect a leader, a manager reports only a part of these.
            control=bool(info.get("ControlAvailable") and cluster.get("ID") and members),
            swarm=cluster.get("ID", ""),
            mark=found.get("mark", ""),
            autolock=bool(spec.get("EncryptionConfig", {}).get("AutoLockManagers")),
            unlocks="unlocks" in found,
            expiry=spec.get("CAConfig", {}).get("NodeCertExpiry", 0) // 10**9,
            pool=" ".join(cluster.get("DefaultAddrPool") or ()),
            members=members,
            serial=_number(found.get("serial", "")),
            serial_as_leader=_number(found.get("led", "")),
            digest=found.get("state", ""),
            key=found.get("key", ""),
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


def _etcd(text: str) -> Literal["", "healthy", "lost"]:
    return "healthy" if text == "healthy" else "lost" if text == "lost" else ""


def _position(text: str) -> tuple[int, int]:
    """Parse the timeline and position in PostgreSQL's form, `00000003 0/501CB28`."""
    match = re.fullmatch(r"([0-9A-F]+) ([0-9A-F]+)/([0-9A-F]+)", text)
    if not match:
        return 0, 0
    timeline, high, low = (int(part, 16) for part in match.groups())
    return timeline, (high << 32) + low


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
