"""Observe this host's membership in its swarm, and the state that the hosts of a cluster share."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from infisical_iac.agent.docker import DockerContainer, list_containers
from infisical_iac.agent.files import PathState
from infisical_iac.agent.health import run_shortly
from infisical_iac.agent.runner import Runner, observation
from infisical_iac.agent.shared_state import ROOT, digest
from infisical_iac.agent.swarm import HOST, NUMBER
from infisical_iac.agent.system import UnitState

# Labels of a node, which the managers keep.
JOINED, LACKS, ETCD = "infisical.joined", "infisical.lacks", "infisical.etcd"
Joined = Literal["", "new", "existing"]
EtcdState = Literal["", "healthy", "lost"]
ETCD_VOLUME = "/var/lib/docker/volumes/infisical_etcd"
_DATA = "/var/lib/docker/volumes/infisical_patroni/_data/pgdata/pgroot/data"


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
        files: the state of the files of the unit and of Docker's engine, by path.
        units: the state of the unit that unlocks the host, by name.
    """

    address: str = ""
    ipvs: bool = False
    esp: bool = False
    single: bool = False
    stack: bool = False
    data: bool = False
    etcd: EtcdState = ""
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


# Go says "has expired or is not yet valid" in both cases; only the text that Swarm or a newer Go
# adds distinguishes them.
_ENDED = re.compile(r"certificate .*not valid after|current time \S+ is after ")
_NOT_BEGUN = re.compile(r"certificate .*not valid before|current time \S+ is before ")
_SWARM = "{{json .Swarm}}\n{{json .LiveRestoreEnabled}}"


@observation
def inspect(runner: Runner) -> SwarmState:
    """Return the host's state, without its files and units. It has nothing secret."""
    shown = runner.run(["docker", "info", "--format", _SWARM]).text.splitlines()
    info = _json("".join(shown[:1]))
    cluster = info.get("Cluster") or {}
    spec = cluster.get("Spec") or {}
    members = tuple(map(_member, inspect_nodes(runner)))
    error = str(info.get("Error") or "")
    has_stack = runner.path(f"{ROOT}/stack.yaml").exists()
    etcd, is_primary, wal = _databases(runner) if has_stack else ("", False, (0, 0))
    return SwarmState(
        address=_address(runner),
        ipvs=runner.path("/proc/net/ip_vs").exists() or _has_module(runner, "ip_vs"),
        esp=_encrypts(runner),
        single=runner.path(f"{ROOT}/compose.yaml").exists(),
        stack=has_stack,
        data=_has_data(runner),
        etcd=etcd,
        primary=is_primary,
        wal=wal,
        state=info.get("LocalNodeState", ""),
        expired=bool(_ENDED.search(error)),
        early=bool(_NOT_BEGUN.search(error)),
        live_restore=shown[1:2] == ["true"],
        id=info.get("NodeID", ""),
        advertised=info.get("NodeAddr", ""),
        # While the managers elect a leader, a manager reports only a part of these.
        control=bool(info.get("ControlAvailable") and cluster.get("ID") and members),
        swarm=cluster.get("ID", ""),
        mark=_word(runner, "swarm"),
        autolock=bool((spec.get("EncryptionConfig") or {}).get("AutoLockManagers")),
        unlocks=_has_unlock_key(runner),
        expiry=(spec.get("CAConfig") or {}).get("NodeCertExpiry", 0) // 10**9,
        pool=" ".join(cluster.get("DefaultAddrPool") or ()),
        members=members,
        serial=_number(_word(runner, "serial")),
        serial_as_leader=_number(_word(runner, "led")),
        digest=digest(runner),
        key=_fingerprint(runner),
    )


def _json(text: str) -> dict[str, Any]:
    found = json.loads(text) if text.startswith("{") else {}
    return dict(found)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _word(runner: Runner, name: str) -> str:
    """Return the text of a file in /etc/infisical; empty without it."""
    return (runner.text(f"{ROOT}/{name}") or "").strip()


def inspect_nodes(runner: Runner) -> list[dict[str, Any]]:
    """Return all nodes of the swarm, as `docker node inspect` prints them.

    None on a host that is no working manager, or if one of them can't be inspected: a missing node
    would seem to be gone.
    """
    ids = runner.run(["docker", "node", "ls", "--quiet"]).lines
    if not ids:
        return []
    inspect = ["docker", "node", "inspect", "--format", "{{json .}}", *dict.fromkeys(ids)]
    return [json.loads(line) for line in runner.run(inspect).lines if line]


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


def _address(runner: Runner) -> str:
    """Return the host's address on the default route; the kernel is asked, and sends no packet."""
    for asked in (["ip", "-json", "route"], ["ip", "-json", "-6", "route"]):
        target = "2001:db8::1" if "-6" in asked else "192.0.2.1"
        done = run_shortly(runner, [*asked, "get", target])
        if done.status == 0 and done.text.strip():
            found = (each.get("prefsrc", "") for each in json.loads(done.text))
            return next(filter(None, found), "")
    return ""


def _has_module(runner: Runner, name: str) -> bool:
    return run_shortly(runner, ["modprobe", "--dry-run", "--quiet", name]).status == 0


# ESP with Docker's cipher, for marked packets only. The key is none of Docker's.
_ESP = f"""\
xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x1000 mode transport \
    aead rfc4106(gcm(aes)) 0x{1:040d} 64
xfrm policy add src 127.0.0.1 dst 127.0.0.2 proto udp dport 4789 dir out \
    mark 0xd0c4e3 mask 0xffffffff tmpl proto esp mode transport
"""


def _encrypts(runner: Runner) -> bool:
    """Return whether the kernel can encrypt an overlay network, tried in a namespace of its own.

    Docker's version decides which match marks the packets; only the kernel's modules are checked,
    since iptables may not be installed yet.
    """
    matches = ("xt_bpf", "xt_u32")
    if not any(
        runner.path(f"/sys/module/{each}").exists() or _has_module(runner, each) for each in matches
    ):
        return False
    return run_shortly(runner, ["unshare", "--net", "ip", "-batch", "-"], stdin=_ESP).status == 0


def _has_data(runner: Runner) -> bool:
    """Return whether PostgreSQL's data are here; a copy of them writes this file last."""
    file = runner.path(f"{_DATA}/global/pg_control")
    return file.is_file() and file.stat().st_size > 0


def _has_unlock_key(runner: Runner) -> bool:
    """Return whether the key on the host is the swarm's, which only a manager's engine knows."""
    key = "".join(runner.run(["docker", "swarm", "unlock-key", "--quiet"]).lines).strip()
    return bool(key) and key == _word(runner, "keys/swarm_unlock_key")


def _fingerprint(runner: Runner) -> str:
    """Return a fingerprint of the encryption key; empty without one."""
    file = runner.path(f"{ROOT}/keys/encryption_key")
    content = file.read_bytes() if file.is_file() else b""
    return sha256(content).hexdigest()[:16] if content else ""


def _databases(runner: Runner) -> tuple[EtcdState, bool, tuple[int, int]]:
    """Return the state of etcd, and if that isn't healthy, of PostgreSQL; as in SwarmState."""
    try:
        containers = list_containers(runner)
    except RuntimeError:
        containers = []
    etcd = _etcd(runner, _find(containers, "etcd"))
    if etcd == "healthy":
        return etcd, False, (0, 0)
    if _is_primary(runner, _find(containers, "postgres")):
        return etcd, True, (0, 0)
    return etcd, False, _written(runner) if _has_data(runner) else (0, 0)


def _find(containers: Sequence[DockerContainer], service: str) -> str:
    found = [each for each in containers if each.belongs_to(service, "swarm")]
    return next((each.id for each in found if each.is_running), found[0].id if found else "")


# An etcd that does not start with its data ends with one of these.
_CRASHED = ("--filter", "volume=infisical_etcd", "--filter", "exited=1", "--filter", "exited=2")


def _etcd(runner: Runner, container: str) -> EtcdState:
    """Return the state of this node's etcd, as in SwarmState.

    It is healthy if it has a majority; an etcd that has just started gets a second try. It is lost
    if it has no volume, has ended by itself three times or more, or was abandoned by a run.
    """
    for _ in range(2):
        asked = ["docker", "exec", container, "etcdctl", "endpoint", "health"]
        if container and run_shortly(runner, asked).status == 0:
            return "healthy"
    volume = runner.path(ETCD_VOLUME)
    if not volume.is_dir() or (volume / "abandoned").exists():
        return "lost"
    ended = runner.run(["docker", "ps", "--all", "--quiet", *_CRASHED]).text.split()
    return "lost" if len(ended) >= 3 else ""


def _is_primary(runner: Runner, container: str) -> bool:
    psql = ["psql", "--host", "/run/postgresql", "--username", "infisical", "--dbname", "postgres"]
    query = ["-XAt", "--command", "SELECT pg_is_in_recovery()"]
    asked = ["docker", "exec", container, *psql, *query]
    return bool(container) and run_shortly(runner, asked).text.strip() == "f"


# It prints the timeline and the position of the last record. The newest segments may have no record
# yet: PostgreSQL recycles old segments.
_READ_WAL = """\
cd /data && programs=/usr/lib/postgresql/$(cat PG_VERSION)/bin
timeline=$(ls pg_wal | grep -xE "[0-9A-F]{24}" | cut -c 1-8 | sort | tail -n 1)
for segment in $(ls -r pg_wal | grep -xE "$timeline[0-9A-F]{16}"); do
    last=$("$programs/pg_waldump" --path=pg_wal "$segment" 2>/dev/null |
        sed -n "s/.* lsn: \\([0-9A-F/]*\\),.*/\\1/p" | tail -n 1)
    test -z "$last" || { echo "$timeline $last"; break; }
done"""
_IMAGE = re.compile(r"^  postgres-\S*:\n(?:(?:    .*)?\n)*?    image: *(\S+)", re.MULTILINE)


def _written(runner: Runner) -> tuple[int, int]:
    """Return the timeline and position of the last written record; (0, 0) if it is unknown.

    It is read from the data, because PostgreSQL may not run.
    """
    image = _IMAGE.search(runner.text(f"{ROOT}/stack.yaml") or "")
    if image is None:
        return 0, 0
    call = ["docker", "run", "--rm", "--pull", "never", "--network", "none", "--user", "0:0"]
    call += ["--entrypoint", "sh", "--volume", f"{_DATA}:/data:ro", image[1], "-c", _READ_WAL]
    return _position(runner.run(call).text.strip())


def _position(text: str) -> tuple[int, int]:
    """Parse the timeline and position in PostgreSQL's form, `00000003 0/501CB28`."""
    match = re.fullmatch(r"([0-9A-F]+) ([0-9A-F]+)/([0-9A-F]+)", text)
    if not match:
        return 0, 0
    timeline, high, low = (int(part, 16) for part in match.groups())
    return timeline, (high << 32) + low
