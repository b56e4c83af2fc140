"""List what is open to the outside: the one list that both firewalls are made from.

The host's own, in nftables, and the one of the cloud in front of it have the same rules from the
same settings.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Literal

from infisical_iac.core.settings import Settings
from infisical_iac.host.settings import EVERYBODY

Protocol = Literal["tcp", "udp", "icmp", "esp"]
# What the nodes of a swarm tell each other: its managers, who is there, and the overlay networks.
_MANAGERS, _GOSSIP, _OVERLAY = 2377, 7946, 4789


@dataclass(frozen=True)
class Opening:
    """Hold what is let in: all else is dropped, but for answers to what the host itself began.

    Attributes:
        ports: destination ports; none for `icmp`, which stands for pings of both IP versions, and
            for `esp`, which is encrypted overlay networks.
        networks: where from, IPv4 and IPv6, in CIDR notation, none within another.
        limited: whether one source may open only so many connections a minute, on the host.
    """

    protocol: Protocol
    ports: tuple[int, ...]
    networks: tuple[str, ...]
    description: str
    limited: bool = False

    @property
    def ipv4(self) -> tuple[str, ...]:
        """Those of the networks that are IPv4's."""
        return tuple(each for each in self.networks if ":" not in each)

    @property
    def ipv6(self) -> tuple[str, ...]:
        """Those of the networks that are IPv6's."""
        return tuple(each for each in self.networks if ":" in each)

    def admits(self, address: str) -> bool:
        """Return whether an address, with or without a zone, is in one of the networks."""
        of = ip_address(address.partition("%")[0])
        return any(of in ip_network(each) for each in self.networks)


def openings(settings: Settings, *ssh_ports: int, peers: Iterable[str] = ()) -> tuple[Opening, ...]:
    """Return what is open on the host: SSH, what the ingress needs, and what was asked for.

    Args:
        ssh_ports: where sshd listens.
        peers: the addresses of the nodes of the cluster that the host is of.
    """
    return tuple(_openings(settings, ssh_ports, _apart(peers)))


def _openings(
    settings: Settings, ssh_ports: tuple[int, ...], nodes: tuple[str, ...]
) -> Iterator[Opening]:
    web, balancer = settings.stack.runs_caddy, settings.balancer_address
    yield Opening("tcp", ssh_ports, _apart(settings.host.ssh_networks), "SSH", limited=True)
    yield Opening("icmp", (), EVERYBODY, "ping")
    if web:
        yield Opening("tcp", (80, 443), EVERYBODY, "HTTP and HTTPS")
        # A Load Balancer passes no UDP on.
        if not balancer:
            yield Opening("udp", (443,), EVERYBODY, "HTTP/3")
    # Behind one that ends https itself, Infisical is for it alone.
    elif balancer:
        yield Opening("tcp", (settings.stack.http_port,), _apart([balancer]), "Load Balancer")
    for each in settings.host.allowed_ports:
        yield Opening(each.protocol, (each.port,), _apart(each.networks), "allowed_ports")
    if nodes:
        yield Opening("tcp", (_MANAGERS, _GOSSIP), nodes, "nodes")
        yield Opening("udp", (_OVERLAY, _GOSSIP), nodes, "nodes")
        yield Opening("esp", (), nodes, "nodes")


def _apart(networks: Iterable[str]) -> tuple[str, ...]:
    """The same networks without those that are within others, which nftables does not take."""
    each = [ip_network(text) for text in networks]
    ipv4 = collapse_addresses(one for one in each if isinstance(one, IPv4Network))
    ipv6 = collapse_addresses(one for one in each if isinstance(one, IPv6Network))
    return (*map(str, ipv4), *map(str, ipv6))
