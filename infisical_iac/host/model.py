"""Define the supported systems, the state of a machine, and the Infisical deployed on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from infisical_iac.core.errors import Refused


@dataclass(frozen=True)
class System:
    """A supported system. To support another one, add a line to SYSTEMS.

    Attributes:
        name: for people.
        docker: the packages of Docker and Compose that the system itself has.
        start_interval: whether that Docker knows `start_interval`, as version 25 and later do.

    With `docker_source = "docker-ce"`, Docker's repository must know the system's code name. The
    scripts need GNU's date, od, sed and stat. `preflight` does not check for them, so try the
    scripts on a system with other ones, such as Ubuntu with Rust's coreutils, before it is added.
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
    """The host's distribution, architecture, privileges and free space.

    Attributes:
        free_disk_gb: the free space of Docker's file system.
        deployed: whether an earlier run got as far as the stack, or the cluster's swarm.
        cloud_init: whether cloud-init still works on the first boot.
        clock: the unit that keeps the time, if that isn't systemd's own.
        apparmor: whether AppArmor is on in the kernel.
        restoring: the recorded state of an unfinished restore; empty if there is none.
        undone: the start of a restore that was undone, on a host without an instance.
        upgrading: the recorded state of an unfinished change of version.
        rotating: the recorded state of an unfinished rotation of a key.
        changing: whether the host is at work on a change that it goes on with by itself.
        unknown: the sentence on an unfinished change of a newer version, which only that can end.
        scaling: the recorded state of an unfinished migration between single host and cluster.
        closed: whether the edge is closed.
        calls_private: whether the Infisical that is deployed, or that an unfinished change would
            bring back, calls private addresses.
        ssh_client: the address that the SSH connection comes from; empty without one.
        ssh_ports: the ports of that connection and of sshd, without those on the loopback.
        uplinks: the interfaces with a default route.
        swarm: whether Docker is in a Swarm.
        own_engine: whether this project has configured Docker.
        others: the running containers of others, on an engine that this project has not configured.
        clustered: whether that Swarm is one of this project's clusters.
        web: the programs that hold the ports 80 and 443, except this project's Caddy.
        networks: the names of Docker's networks.
        data_volume: the UUID of the file system with the data, if they are on a volume.
        spare_volume: an attached volume of Hetzner Cloud's with nothing on it.
        engine: the version of Docker, empty if none answers. This and `compose` are read only
            where somebody else manages the engine.
        compose: whether it has the command `docker compose`.
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
    unknown: str = ""
    changing: bool = False
    scaling: str = ""
    closed: bool = False
    calls_private: bool = False
    ssh_client: str = ""
    ssh_ports: tuple[int, ...] = ()
    uplinks: tuple[str, ...] = ()
    swarm: bool = False
    own_engine: bool = False
    others: tuple[str, ...] = ()
    clustered: bool = False
    web: Mapping[int, str] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    data_volume: str = ""
    spare_volume: str = ""
    engine: str = ""
    compose: bool = False

    @property
    def system(self) -> System | None:
        """Return the supported system that the machine runs; None for another system."""
        return SYSTEMS.get((self.os, self.release))

    def refuse_unknown(self) -> None:
        """Raise Refused if a change of a newer version has not ended."""
        if self.unknown:
            raise Refused(self.unknown, code="refused.newer_tool")

    def refuse_changing(self) -> None:
        """Raise Refused while the host is at work on a change, or if `refuse_unknown` does."""
        self.refuse_unknown()
        if self.changing:
            raise Refused(
                "the host is at work on a change: `infisical-iac attach` follows it",
                code="refused.under_way",
            )

    def refuse_restoring(self) -> None:
        """Raise Refused if a restore is unfinished."""
        if self.restoring:
            raise Refused(
                "a restore has not ended on the host: `infisical-iac restore --undo` brings the "
                "old data back"
            )


@dataclass(frozen=True)
class DeployedInfisical:
    """The Infisical that the host's Compose file describes; empty before the first deploy.

    Attributes:
        variables: its variables. A secret has the placeholder of the Compose file as its value, and
            the address of a proxy has no password.
        authorities: the hash of the authorities that it trusts; empty for none.
        given: the names of the keys on the host that the user gave.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    authorities: str = ""
    given: frozenset[str] = frozenset()

    @property
    def services(self) -> tuple[tuple[str, int], ...]:
        """Return the host and the port of its mail server and of its proxy, if it has them."""
        places = [f"{self.variables.get('SMTP_HOST')}:{self.variables.get('SMTP_PORT')}"]
        places.append(self.variables.get("HTTPS_PROXY", "").rpartition("/")[2].rpartition("@")[2])
        parts = (each.rpartition(":") for each in places)
        return tuple((name, int(port)) for name, _, port in parts if port.isdecimal())

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the addresses of the servers that its variables name and that it calls by HTTP."""
        own = ("SITE_URL", "CORS_ALLOWED_ORIGINS", "HTTP_PROXY", "HTTPS_PROXY")
        others = (each for name, each in self.variables.items() if name not in own)
        return tuple(
            each
            for each in others
            if each.startswith(("http://", "https://")) and has_fit_host(each)
        )


def has_fit_host(address: str) -> bool:
    """Return whether an address has a host, and no port that can't exist."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
