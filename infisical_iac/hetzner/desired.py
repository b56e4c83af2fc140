"""The desired state at Hetzner Cloud, from the settings and the files that they name."""

import runpy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hcloud.load_balancers import (
    LoadBalancerHealthCheck,
    LoadBalancerHealthCheckHttp,
    LoadBalancerService,
    LoadBalancerServiceHttp,
)

from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.settings import Settings, load
from infisical_iac.host.openings import Opening, openings

_KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")
_MANAGERS = 3
_STATUS = "/api/status"
# The first server has the address after this offset; the lowest address is Hetzner's gateway.
_FIRST = 10
# Seconds between health checks and for an answer, and the number of retries: after 15 seconds, a
# node that is down gets no requests.
_INTERVAL, _TIMEOUT, _RETRIES = 5, 3, 2


@dataclass(frozen=True)
class PublicKey:
    """A public SSH key; `text` is its line without the comment, empty for a key known by name."""

    name: str
    text: str = ""


@dataclass(frozen=True)
class DesiredServer:
    """A desired server with its own resources.

    Attributes:
        name: the name of the server, which its own resources are named after.
        deployment: the name of the deployment, which shared resources are named after; for a
            single server, the server's name.
        role: "manager" or "worker" in a cluster, empty for a single server.
        private: its address in the cluster's private network, empty for a single server.
        volume_gb: 0 for no volume.
        host_name: the name in site_url, empty if it has none.
        record: the name of its records in `zone`, `@` for the zone itself.
        openings: the ports that the firewall opens; none for no firewall.
        ssh_port: the port of sshd.
    """

    name: str
    deployment: str
    type: str
    location: str
    image: str
    keys: tuple[PublicKey, ...]
    volume_gb: int
    ipv4: bool
    ipv6: bool
    backups: bool
    group: str
    zone: str
    host_name: str
    record: str
    openings: tuple[Opening, ...]
    ssh_port: int
    role: str = ""
    private: str = ""

    @property
    def versions(self) -> tuple[str, ...]:
        """The IP versions of the server's addresses, `ipv4` first."""
        return (*(["ipv4"] if self.ipv4 else []), *(["ipv6"] if self.ipv6 else []))

    @property
    def volume_name(self) -> str:
        return name_data_volume(self.name)


def name_data_volume(server: str) -> str:
    """Return the name of the data volume of a server; its other volumes have other names."""
    return f"{server}-data"


@dataclass(frozen=True)
class DesiredBalancer:
    """The Load Balancer before a cluster.

    Attributes:
        private: its address in the private network.
        services: the ports that it listens to, with the health checks of the nodes.
        host_name: the name in site_url.
        terminates: whether it terminates https, with its own certificate; otherwise Caddy on the
            nodes does.
    """

    type: str
    private: str
    services: tuple[LoadBalancerService, ...]
    host_name: str
    terminates: bool


@dataclass(frozen=True)
class DesiredDeployment:
    """All servers, one or those of a cluster; `network` is the range of their private network."""

    servers: tuple[DesiredServer, ...]
    network: str = ""
    balancer: DesiredBalancer | None = None

    @property
    def first(self) -> DesiredServer:
        """The first server; all servers have the same shared resources."""
        return self.servers[0]

    @property
    def name(self) -> str:
        return self.first.deployment

    @property
    def versions(self) -> tuple[str, ...]:
        """The IP versions of the public addresses; a Load Balancer has both."""
        return ("ipv4", "ipv6") if self.balancer else self.first.versions

    @property
    def certificate_name(self) -> str:
        """The name of the balancer's certificate, empty if none is desired."""
        if self.balancer is None or not self.balancer.terminates:
            return ""
        return f"{self.name}-{self.balancer.host_name}"


def read_settings(file: Path) -> Settings:
    """Return the settings of a group from its file in `group_data/`.

    The settings in `all.py` next to it count too. Raises FileError if there is no such file, and
    SettingsError for wrong settings.
    """
    if not file.is_file():
        raise FileError(
            f"there is no {file} in {Path.cwd()}: change to your repository's directory, or write "
            "the file with `infisical-iac init`",
            code="file.settings",
        )
    return load({**_read_data(file.with_name("all.py")), **_read_data(file)})


def derive_desired(settings: Settings, *, ssh_port: int = 22) -> DesiredDeployment:
    """Return the deployment that the settings describe.

    Raises UserError for unreadable keys, a wrong zone, or settings that can't work.
    """
    one = _derive_server(settings, ssh_port)
    if settings.cluster.topology == "single":
        return DesiredDeployment((one,))
    balancer = _derive_balancer(settings, one) if settings.balancer_address else None
    network = ip_network(settings.hetzner.server_network)
    nodes = (
        replace(
            one,
            # The first one has the name of the single server that it may have been.
            name=one.deployment if number == 1 else f"{one.deployment}-{number}",
            group=one.group or one.deployment,
            # With a balancer, the name and its reverse DNS are the balancer's.
            host_name="" if balancer else one.host_name,
            role="manager" if number <= _MANAGERS else "worker",
            private=str(network[_FIRST + number]),
        )
        for number in range(1, settings.hetzner.servers + 1)
    )
    return DesiredDeployment(tuple(nodes), settings.hetzner.server_network, balancer)


def _read_data(file: Path) -> Mapping[str, Any]:
    if not file.exists():
        return {}
    try:
        found = runpy.run_path(str(file))
    except Exception as error:  # a program may raise any error
        raise FileError(f"{file} can't be read ({error}): correct it") from None
    public = found.get("__all__", [name for name in found if not name.startswith("_")])
    return {name: found[name] for name in public}


def _derive_server(settings: Settings, ssh_port: int) -> DesiredServer:
    host_name = _host_name(settings.stack.site_url)
    return DesiredServer(
        name=settings.hetzner.server_name,
        deployment=settings.hetzner.server_name,
        type=settings.hetzner.server_type,
        location=settings.hetzner.server_location,
        image=settings.hetzner.server_image,
        keys=tuple(map(_read_key, settings.hetzner.server_ssh_keys)),
        volume_gb=settings.hetzner.server_volume_gb,
        ipv4=settings.hetzner.server_ipv4,
        ipv6=settings.hetzner.server_ipv6,
        backups=settings.hetzner.server_backups,
        group=settings.hetzner.server_placement_group,
        zone=settings.hetzner.server_dns_zone,
        host_name=host_name,
        record=_record(host_name, settings.hetzner.server_dns_zone),
        openings=() if settings.host.firewall == "off" else openings(settings, ssh_port),
        ssh_port=ssh_port,
    )


def _read_key(given: str) -> PublicKey:
    if not given.endswith(".pub"):
        return PublicKey(given)
    path = Path(given).expanduser()
    try:
        kind, text, *_ = path.read_text("ascii").split()
    except (OSError, ValueError):
        kind = text = ""
    if kind not in _KEY_TYPES:
        raise SettingsError(
            f"setting 'server_ssh_keys': {given} is not a readable public SSH key: write "
            "the path of one, such as ~/.ssh/id_ed25519.pub",
            code="settings.ssh_key",
        )
    return PublicKey(path.stem, f"{kind} {text}")


def _host_name(site_url: str) -> str:
    name = urlsplit(site_url).hostname or ""
    is_name = "." in name and not name.rpartition(".")[2].isdigit()
    return name if is_name else ""


def _record(host_name: str, zone: str) -> str:
    if not zone:
        return ""
    if host_name == zone:
        return "@"
    if not host_name.endswith(f".{zone}"):
        raise SettingsError(
            f"setting 'server_dns_zone': {host_name or 'site_url'} is not a name in {zone}: set "
            f"site_url to one, such as https://secrets.{zone}, or leave the zone out",
            code="settings.dns_zone",
        )
    return host_name.removesuffix(f".{zone}")


def _derive_balancer(settings: Settings, one: DesiredServer) -> DesiredBalancer:
    if not one.host_name:
        raise SettingsError(
            "setting 'site_url': a Load Balancer needs a name that resolves to it: set one such as "
            "https://secrets.example.com",
            code="settings.balancer_domain",
        )
    terminates = not settings.stack.runs_caddy
    if terminates and not one.zone:
        raise SettingsError(
            "setting 'server_dns_zone': with ingress \"none\" Hetzner issues the Load Balancer's "
            "certificate, and only for zones at Hetzner DNS: set it, or let Caddy have a "
            "certificate (ingress, tls_certificate)",
            code="settings.balancer_certificate",
        )
    if terminates:
        # The balancer reaches Infisical by HTTP, and redirects port 80 to https.
        services = [
            LoadBalancerService(
                protocol="https",
                listen_port=443,
                destination_port=settings.stack.http_port,
                proxyprotocol=False,
                http=LoadBalancerServiceHttp(redirect_http=True, sticky_sessions=False),
                health_check=_health_check(settings.stack.http_port, one.host_name),
            )
        ]
    else:
        # Caddy gets the client's address by the PROXY protocol. Nodes are checked without TLS, as
        # Hetzner does not document the name in a check's handshake. Caddy forwards the check, so
        # that Infisical answers it.
        services = [
            LoadBalancerService(
                protocol="tcp",
                listen_port=port,
                destination_port=port,
                proxyprotocol=True,
                health_check=_health_check(80, one.host_name),
            )
            for port in (443, 80)
        ]
    return DesiredBalancer(
        type=settings.hetzner.balancer_type,
        private=settings.balancer_address,
        services=tuple(services),
        host_name=one.host_name,
        terminates=terminates,
    )


def _health_check(port: int, name: str) -> LoadBalancerHealthCheck:
    return LoadBalancerHealthCheck(
        protocol="http",
        port=port,
        interval=_INTERVAL,
        timeout=_TIMEOUT,
        retries=_RETRIES,
        http=LoadBalancerHealthCheckHttp(
            domain=name, path=_STATUS, status_codes=["200"], tls=False
        ),
    )
