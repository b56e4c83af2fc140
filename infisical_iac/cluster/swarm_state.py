"""Reading what a host has of the swarm, in one command."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pyinfra.api.facts import FactBase

from infisical_iac.core.rendering import script
from infisical_iac.facts.files import Paths, reading
from infisical_iac.facts.swarm_state import ETCD, HOST, JOINED, LACKS, NUMBER, Member, SwarmState
from infisical_iac.facts.units import Units

# What opens the host's part in the swarm when Docker starts.
UNIT = "infisical-unlock.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
PROGRAM = "/usr/local/lib/infisical-iac/swarm-unlock.sh"
HANDING_OVER = "/usr/local/lib/infisical-iac/hand-over.sh"
DAEMON_FILE = "/etc/docker/daemon.json"
_FILES, _UNITS = "files:", "units:"
# Go says "has expired or is not yet valid" of both: what tells them apart is what Swarm, or a newer
# Go, says besides.
_ENDED = re.compile(r"certificate .*not valid after|current time \S+ is after ")
_NOT_BEGUN = re.compile(r"certificate .*not valid before|current time \S+ is before ")


class Swarm(FactBase[SwarmState]):
    """The SwarmState of a host."""

    def command(self) -> str:
        files = reading(f"{PROGRAM} {HANDING_OVER} {UNIT_FILE} {DAEMON_FILE}")
        return (
            f"{script('swarm-look')}; echo {_FILES}; {files}; "
            f"echo {_UNITS}; {Units().command([UNIT], {})}"
        )

    def process(self, output: list[str]) -> SwarmState:
        files, units = output.index(_FILES), output.index(_UNITS)
        lines = output[:files]
        pairs = [(key, rest.strip()) for key, _, rest in (line.partition(" ") for line in lines)]
        found = dict(pairs)
        info = _json(found.get("info", ""))
        cluster = info.get("Cluster") or {}
        spec = cluster.get("Spec") or {}
        members = tuple(_member(_json(text)) for key, text in pairs if key == "node")
        return SwarmState(
            address=found.get("address", ""),
            hostname=found.get("hostname", ""),
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
            files=Paths().process(output[files + 1 : units]),
            units=Units().process(output[units + 1 :]),
        )

    @staticmethod
    def default() -> SwarmState:
        return SwarmState()


def _member(found: Mapping[str, Any]) -> Member:
    spec, status = found.get("Spec", {}), found.get("Status", {})
    labels, manages = spec.get("Labels") or {}, found.get("ManagerStatus") or {}
    # A manager says of itself that it is at 0.0.0.0.
    address = manages.get("Addr", "").rpartition(":")[0].strip("[]") or status.get("Addr", "")
    joined = labels.get(JOINED, "")
    return Member(
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
