"""What things of a server are named, and where the server is reached."""

from ipaddress import ip_network

from hcloud.primary_ips import BoundPrimaryIP
from hcloud.servers import BoundServer

from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import HetznerError


def volume_name(want: Wanted) -> str:
    """The volume's name."""
    return f"{want.name}-data"


def address_name(want: Wanted, version: str) -> str:
    """The name of a primary IP."""
    return f"{want.name}-{version}"


def host_address(address: BoundPrimaryIP) -> str:
    """The address itself; of IPv6 there is a network, of which a server has the first."""
    if address.type == "ipv4":
        return str(address.ip)
    return str(ip_network(str(address.ip))[1])


def server_address(server: BoundServer) -> str:
    """Where a server's SSH is: its IPv4 address if it has one, else its first of IPv6."""
    net = server.public_net
    if net and net.ipv4:
        return str(net.ipv4.ip)
    if net and net.ipv6:
        return str(ip_network(str(net.ipv6.ip))[1])
    raise HetznerError(f"the server {server.name} has no public address: give it one")
