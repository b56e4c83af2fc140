"""The values of the host below Infisical: the systems that are supported, and a machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_iac.core.errors import Refused


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

    def refuse_restoring(self) -> None:
        """Raise Refused where a restore has not ended."""
        if self.restoring:
            raise Refused(
                "a restore has not ended on the host: `infisical-iac restore --undo` brings the "
                "old data back"
            )
