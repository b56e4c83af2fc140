"""Read what kind of machine the host is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.core.rendering import script


@dataclass(frozen=True)
class System:
    """A system that can be deployed to; to support another one, add a line to SYSTEMS.

    Attributes:
        name: as people call it.
        docker: the packages of its own engine and Compose.
        start_interval: whether that engine knows `start_interval`, as version 25 and later do.
    """

    name: str
    docker: tuple[str, ...]
    start_interval: bool


# By the ID and the VERSION_ID of /etc/os-release.
SYSTEMS = {
    ("debian", "12"): System("Debian 12", ("docker.io", "docker-compose"), False),
    ("debian", "13"): System("Debian 13", ("docker.io", "docker-cli", "docker-compose"), True),
    ("ubuntu", "24.04"): System("Ubuntu 24.04", ("docker.io", "docker-compose-v2"), False),
}

# Where nobody ever logged in to an instance, a deploy would make a new one.
UNDONE = """\
undone=/var/lib/infisical-restore/undone
test -e /etc/infisical/deployer.env || test -e /etc/infisical/workspace.json || test ! -e $undone ||
    echo "undone $(cat $undone)"
"""
_COMMAND = r"""
. /etc/os-release; echo "os $ID $VERSION_ID $VERSION_CODENAME"
echo "uid $(id -u)"
echo "arch $(dpkg --print-architecture 2>/dev/null)"
where=/var/lib; test ! -d /var/lib/docker || where=/var/lib/docker
echo "disk $(df -Pk $where | awk 'NR == 2 { print $4 }')"
for file in compose.yaml stack.yaml swarm; do
    test ! -e /etc/infisical/$file || echo deployed
done
state=/var/lib/infisical-restore/state; test ! -e $state || echo "restoring $(cat $state)"
state=/var/lib/infisical-upgrade/state; test ! -e $state || echo "upgrading $(cat $state)"
state=/var/lib/infisical-scale/state; test ! -e $state || echo "scaling $(cat $state)"
state=/var/lib/infisical-rotation/state; test ! -e $state || echo "rotating $(cat $state)"
test ! -e /etc/infisical/ingress/closed || echo closed
unit=/etc/systemd/system/infisical-data.service
sed -n 's/^ExecStart=.* mount /data-volume /p' $unit 2>/dev/null
for volume in /dev/disk/by-id/scsi-0HC_Volume_*; do
    test ! -b $volume || blkid -p $volume >/dev/null 2>&1 || echo "spare-volume $volume"
done
test -d /run/systemd/system && echo systemd
grep -qs Y /sys/module/apparmor/parameters/enabled && echo apparmor
if command -v cloud-init >/dev/null && cloud-init status 2>/dev/null | grep -q running
then echo cloud-init; fi
for clock in chrony ntpsec openntpd; do
    test ! -e /lib/systemd/system/$clock.service || echo "clock $clock.service"
done
# sudo takes the variable away, but not from the processes above it.
process=$$ ssh=${SSH_CONNECTION:-}
while [ -z "$ssh" ] && [ "${process:-1}" -gt 1 ]; do
    ssh=$(tr '\0' '\n' 2>/dev/null </proc/$process/environ | sed -n 's/^SSH_CONNECTION=//p')
    process=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$process/status)
done
echo "ssh $ssh"
echo "sshd" $(sshd -T 2>/dev/null | sed -n 's/^listenaddress //p')
echo "uplinks" $({ ip route show default; ip -6 route show default; } 2>/dev/null |
    sed -n 's/.* dev \([^ ]*\).*/\1/p')
data=$(sed -n 's/.*"data-root": *"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null)
test ! -e "${data:-/var/lib/docker}/swarm/docker-state.json" || echo swarm
test ! -s /etc/infisical/swarm || echo clustered
true
"""


@dataclass(frozen=True)
class MachineState:
    """The host's distribution, architecture, rights and room.

    `free_disk_gb` is what Docker's file system has left; `deployed` tells whether an
    earlier run got as far as the stack, or the cluster's swarm; `cloud_init` whether first-boot
    work still runs;
    `restoring`, `upgrading`, `rotating` and `scaling` what a restore, a change of version, a
    rotation of a key or a move between single host and cluster that has not ended says of itself;
    `closed` tells whether the edge lets nobody in;
    `undone` is when a restore began that was undone, on a host without an instance;
    `data_volume` is the UUID of the file system that its data are on, if they are on a volume, and
    `spare_volume` a volume of Hetzner Cloud's with nothing on it;
    `clock` is the unit that keeps the time where that isn't systemd's own;
    `ssh_client` is the address that the host sees the SSH connection come from, empty without one;
    `ssh_ports` are those of that connection and of sshd, but for what only the host itself reaches;
    `uplinks` are the interfaces with a default route; `swarm` tells whether Docker is in a Swarm,
    `clustered` whether this project brought it into a cluster's; `apparmor` tells whether the
    kernel has AppArmor on;
    `web` is who, but for Caddy of this project, holds the ports 80 and 443; `networks` are those
    of Docker;
    `engine` is which version of Docker answers, empty for none, and `compose` whether it has the
    command `docker compose`: neither is read but where the engine is somebody else's.
    """

    os: str = ""
    release: str = ""
    codename: str = ""
    architecture: str = ""
    root: bool = False
    systemd: bool = False
    free_disk_gb: float = 0.0
    deployed: bool = False
    cloud_init: bool = False
    clock: str = ""
    apparmor: bool = False
    restoring: str = ""
    undone: str = ""
    upgrading: str = ""
    rotating: str = ""
    scaling: str = ""
    closed: bool = False
    ssh_client: str = ""
    ssh_ports: tuple[int, ...] = ()
    uplinks: tuple[str, ...] = ()
    swarm: bool = False
    clustered: bool = False
    web: Mapping[int, str] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    data_volume: str = ""
    spare_volume: str = ""
    engine: str = ""
    compose: bool = False

    @property
    def system(self) -> System | None:
        """The system that it runs; None for one that is not supported."""
        return SYSTEMS.get((self.os, self.release))


class Machine(FactBase[MachineState]):
    """The MachineState, read in one command."""

    def command(self) -> str:
        return f"{UNDONE}{_COMMAND}{script('ingress', 'holders')}; true"

    def process(self, output: list[str]) -> MachineState:
        found = {key: rest.split() for key, _, rest in (line.partition(" ") for line in output)}
        ssh = found.get("ssh", [])
        names = (*found.get("os", ()), "", "", "")
        return MachineState(
            os=names[0],
            release=names[1],
            codename=names[2],
            architecture=" ".join(found.get("arch", ())),
            root=found.get("uid") == ["0"],
            systemd="systemd" in found,
            free_disk_gb=int((*found.get("disk", ()), "0")[0]) / 1024**2,
            deployed="deployed" in found,
            cloud_init="cloud-init" in found,
            clock=" ".join(found.get("clock", ())),
            apparmor="apparmor" in found,
            restoring=" ".join(found.get("restoring", ())),
            undone=" ".join(found.get("undone", ())),
            upgrading=" ".join(found.get("upgrading", ())),
            rotating=" ".join(found.get("rotating", ())),
            scaling=" ".join(found.get("scaling", ())),
            closed="closed" in found,
            ssh_client=" ".join(ssh[:1]),
            ssh_ports=_ports([*found.get("sshd", ()), *(f":{port}" for port in ssh[3:])]),
            uplinks=tuple(sorted(set(found.get("uplinks", ())))),
            swarm="swarm" in found,
            clustered="clustered" in found,
            web={
                port: " ".join(found[f"web{port}"]) for port in (80, 443) if f"web{port}" in found
            },
            networks=frozenset(found.get("networks", ())),
            data_volume=" ".join(found.get("data-volume", ())),
            spare_volume=" ".join(found.get("spare-volume", ())),
        )

    @staticmethod
    def default() -> MachineState:
        return MachineState()


def _ports(listening: list[str]) -> tuple[int, ...]:
    """The ports of `address:port` each, an IPv6 address in brackets, without the loopback's."""
    pairs = (each.rpartition(":") for each in listening)
    own = ("127.", "[::1]")
    return tuple(sorted({int(port) for address, _, port in pairs if not address.startswith(own)}))


def absence(machines: Mapping[str, MachineState], *, topology: str, away: bool = False) -> str:
    """Return why there is nothing to look at as the inventory has it, in one sentence; empty if
    there is.

    While data move between a single host and a cluster, there is something in either view.

    Args:
        machines: the hosts that were reached, by their names in the inventory; at least one.
        topology: that of the settings, `single` or `swarm`.
        away: whether others of the inventory were not reached, who may know more.
    """
    if away:
        return ""
    deployed = [name for name, each in machines.items() if each.deployed]
    if not deployed:
        return f"nothing is deployed on {', '.join(machines)} yet: `infisical-iac apply` does it"
    if any(each.scaling for each in machines.values()):
        return ""
    clustered = any(each.clustered for each in machines.values())
    if topology == "single" and clustered:
        return f"{deployed[0]} is one host of a cluster: name the inventory of the whole cluster"
    if topology == "swarm" and not clustered:
        return (
            f"{deployed[0]} has Infisical for itself, and there is no cluster: name an inventory "
            "of that host alone, or bring it into a cluster by `infisical-iac scale-out`"
        )
    return ""
