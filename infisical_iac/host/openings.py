"""List the ports that are open to the outside, and the networks that are open to containers.

The host's firewall in nftables and the cloud's firewall in front of it get their rules from the
one list of ports.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

from infisical_iac.core.errors import Refused, SettingsError
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import DeployedInfisical
from infisical_iac.host.settings import EVERYBODY

Protocol = Literal["tcp", "udp", "icmp", "esp"]
# Traffic between the nodes of a swarm: managers, membership, and overlay networks.
_MANAGERS, _GOSSIP, _OVERLAY = 2377, 7946, 4789

# The description of the opening for metrics, which the host serves itself.
METRICS = "metrics"

# Addresses that exist only in a host's own networks. Traffic to loopback stays in the container.
PRIVATE4 = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")
PRIVATE6 = ("fc00::/7",)
# Docker's names for its bridges, unless a network sets another name: packets from them come from
# containers.
BRIDGES = ("docker0", "docker_gwbridge", "br-*")


@dataclass(frozen=True)
class Opening:
    """Allowed incoming traffic; other traffic is dropped, except answers to the host's requests.

    Attributes:
        ports: destination ports; empty for `icmp`, which means pings of both IP versions, and for
            `esp`, which means encrypted overlay networks.
        networks: the sources, IPv4 and IPv6, in CIDR notation, none within another.
        limited: whether the host limits the new connections of one source per minute.
    """

    protocol: Protocol
    ports: tuple[int, ...]
    networks: tuple[str, ...]
    description: str
    limited: bool = False

    @property
    def ipv4(self) -> tuple[str, ...]:
        """Return the IPv4 networks."""
        return tuple(each for each in self.networks if ":" not in each)

    @property
    def ipv6(self) -> tuple[str, ...]:
        """Return the IPv6 networks."""
        return tuple(each for each in self.networks if ":" in each)

    def admits(self, address: str) -> bool:
        """Return whether an address, with or without a zone, is in one of the networks."""
        of = ip_address(address.partition("%")[0])
        return any(of in ip_network(each) for each in self.networks)


@dataclass(frozen=True)
class Egress:
    """The private addresses that containers may reach; they reach all public ones.

    Attributes:
        networks: IPv4 and IPv6, in CIDR notation, none within another.
        services: further addresses with a port; an empty address means all addresses.
    """

    networks: tuple[str, ...]
    services: tuple[tuple[str, int], ...] = ()


def egress(
    settings: Settings, *, calls_private: bool = False, former: Iterable[tuple[str, int]] = ()
) -> Egress | None:
    """Return the addresses that containers may reach; None if Infisical itself restricts them.

    Infisical refuses all private addresses while `internal_networks` is empty, else none.

    Args:
        calls_private: whether the deployed Infisical calls private addresses. After
            `internal_networks` was emptied, it does so until it is re-created.
        former: further services, as `services_of` returns them.
    """
    instance = settings.instance
    if not instance.internal_networks and not calls_private:
        return None
    # The settings name these, so that they are not listed again.
    places = [(each.host, each.port) for each in (instance.smtp, instance.proxy) if each]
    own = _list_services(places, (address for _, address in instance.addresses))
    return Egress(_drop_nested(instance.internal_networks), tuple(sorted({*own, *former})))


def services_of(deployed: DeployedInfisical) -> frozenset[tuple[str, int]]:
    """Return the services that a deployed Infisical calls, in the form of `Egress.services`."""
    return frozenset(_list_services(deployed.services, deployed.addresses))


def _list_services(
    places: Iterable[tuple[str, int]], addresses: Iterable[str]
) -> Iterator[tuple[str, int]]:
    for host, port in places:
        yield _address(host), port
    # A port that is open at all addresses would open most HTTP services in the host's networks.
    for each in map(urlsplit, addresses):
        if address := _address(each.hostname or ""):
            yield address, each.port or (443 if each.scheme == "https" else 80)


def _address(host: str) -> str:
    """Return a host that is an address; nothing for a name, whose addresses may change."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


def refuse_unenforced(settings: Settings) -> None:
    """Raise SettingsError for networks that no firewall enforces."""
    listener, networks = settings.monitoring.monitoring_listen, settings.instance.internal_networks
    if settings.host.firewall == "off" and listener and not listener.is_loopback:
        raise SettingsError(
            "setting 'monitoring_listen' needs firewall = \"on\", which lets only its networks "
            "ask: turn the firewall on, or write 127.0.0.1 for a collector on the host itself",
            code="settings.unenforced",
        )
    if settings.host.firewall == "off" and set(networks) - set(EVERYBODY):
        raise SettingsError(
            "setting 'internal_networks' has no effect without the firewall, so Infisical could "
            f'call every private address: set firewall = "on", or write {EVERYBODY} to allow every '
            "address, even the cloud's metadata address",
            code="settings.unenforced",
        )


def direct_names(settings: Settings) -> dict[str, str]:
    """Return the names of servers that the firewall may block for Infisical, each with its setting.

    Infisical reaches them without the proxy. Their addresses may be private, and the firewall's
    rules have addresses only.
    """
    instance = settings.instance
    if not instance.internal_networks:
        return {}
    found = {urlsplit(address).hostname or "": setting for setting, address in instance.addresses}
    return {
        name: setting
        for name, setting in found.items()
        if not _address(name) and instance.is_direct(name)
    }


def refuse_unreached(settings: Settings, addresses: Mapping[str, Iterable[str]]) -> None:
    """Raise SettingsError for a server whose private address `internal_networks` lacks.

    Args:
        addresses: the addresses to which the host resolves the `direct_names`.
    """
    private = [ip_network(each) for each in (*PRIVATE4, *PRIVATE6)]
    allowed = [ip_network(each) for each in settings.instance.internal_networks]
    for name, setting in direct_names(settings).items():
        for address in addresses.get(name, ()):
            of = ip_address(address.partition("%")[0])
            if any(of in each for each in private) and not any(of in each for each in allowed):
                raise SettingsError(
                    f"setting 'internal_networks' does not include {address}, the address of "
                    f"{name} in {setting!r}: add a network that contains it, or else the firewall "
                    "blocks it",
                    code="settings.unreached",
                )


def refuse_openings(
    openings: Iterable[Opening], *, client: str, uplinks: Iterable[str], is_in_swarm: bool = False
) -> None:
    """Raise Refused if a firewall with `openings` would lock this run out, or do other harm.

    Args:
        client: the address of the connection's client as the host sees it, empty without one.
        uplinks: the names of the interfaces that have a default route.
        is_in_swarm: whether the host's Docker is in a Swarm that is not this project's.
    """
    if is_in_swarm:
        raise Refused(
            "Docker on the host is in a Swarm, such as Dokploy's, and this firewall would close "
            'the Swarm\'s ports: set firewall = "off", and use a firewall in front of the host',
            code="refused.swarm",
        )
    ssh = [each for each in openings if each.limited]
    # Packets from the loopback are never dropped.
    is_own = client and ip_address(client.partition("%")[0]).is_loopback
    if client and not is_own and not any(each.admits(client) for each in ssh):
        raise SettingsError(
            f"setting 'ssh_networks' does not include {client}, the address of this connection: "
            "add a network that contains it, or else you lock yourself out",
            code="settings.lockout",
        )
    for name in uplinks:
        if any(fnmatchcase(name, pattern) for pattern in BRIDGES):
            raise Refused(
                f"the host's uplink, the interface {name}, has the name of a Docker bridge, so the "
                "firewall can't tell the Internet from containers: rename the interface, or set "
                'firewall = "off"',
                code="refused.uplink",
            )


def openings(settings: Settings, *ssh_ports: int, peers: Iterable[str] = ()) -> tuple[Opening, ...]:
    """Return the openings of the host: for SSH, ingress, `allowed_ports` and metrics.

    Args:
        ssh_ports: the ports of sshd.
        peers: the addresses of all nodes of the host's cluster; empty without one.
    """
    return tuple(_openings(settings, ssh_ports, _drop_nested(peers)))


def _openings(
    settings: Settings, ssh_ports: tuple[int, ...], nodes: tuple[str, ...]
) -> Iterator[Opening]:
    web, balancer = settings.stack.runs_caddy, settings.balancer_address
    yield Opening("tcp", ssh_ports, _drop_nested(settings.host.ssh_networks), "SSH", limited=True)
    yield Opening("icmp", (), EVERYBODY, "ping")
    if web:
        yield Opening("tcp", (80, 443), EVERYBODY, "HTTP and HTTPS")
        # A Load Balancer forwards no UDP.
        if not balancer:
            yield Opening("udp", (443,), EVERYBODY, "HTTP/3")
    # If the Load Balancer terminates TLS, only it may reach Infisical.
    elif balancer:
        yield Opening("tcp", (settings.stack.http_port,), _drop_nested([balancer]), "Load Balancer")
    for each in settings.host.allowed_ports:
        yield Opening(each.protocol, (each.port,), _drop_nested(each.networks), "allowed_ports")
    listener = settings.monitoring.monitoring_listen
    if listener and not listener.is_loopback:
        ports = tuple(settings.metrics_ports.values())
        yield Opening("tcp", ports, _drop_nested(listener.networks), METRICS)
    if nodes:
        yield Opening("tcp", (_MANAGERS, _GOSSIP), nodes, "nodes")
        yield Opening("udp", (_OVERLAY, _GOSSIP), nodes, "nodes")
        yield Opening("esp", (), nodes, "nodes")


def _drop_nested(networks: Iterable[str]) -> tuple[str, ...]:
    """Return the networks without those within others, because nftables refuses overlaps."""
    each = [ip_network(text) for text in networks]
    ipv4 = collapse_addresses(one for one in each if isinstance(one, IPv4Network))
    ipv6 = collapse_addresses(one for one in each if isinstance(one, IPv6Network))
    return (*map(str, ipv4), *map(str, ipv6))
