"""What differs of the private network of a cluster."""

from hcloud.networks import NetworkSubnet
from hcloud.servers import BoundServer

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.fleet import Fleet
from infisical_iac.hetzner.ownership import labels
from infisical_iac.hetzner.resource import Common, Have


def network(want: Fleet, common: Common) -> Changes:
    """The network. Raises HetznerError for one with another range."""
    if not want.network:
        return
    name, there = want.first.family, common.network
    if there is None:
        yield change("+", f"network {name}", want.network, lambda: _make_network(want, common))
    elif there.ip_range != want.network:
        raise HetznerError(
            f"the network {name} has the range {there.ip_range}, of which servers have addresses: "
            f'set server_network to "{there.ip_range}"'
        )


def _make_network(want: Fleet, common: Common) -> None:
    location = common.client.locations.get_by_name(want.first.location)
    subnet = NetworkSubnet(
        want.network,
        type=NetworkSubnet.TYPE_CLOUD,
        network_zone=location.network_zone if location else None,
    )
    common.network = common.client.networks.create(
        want.first.family, want.network, subnets=[subnet], labels=labels(want.first.family)
    )


def join(want: Wanted, have: Have) -> Changes:
    """A server's place in the network; one that has another address there keeps it."""
    if not want.private or (have.server is not None and private_address(have.server, have.common)):
        return

    def make() -> None:
        server, network = have.server, have.common.network
        assert server is not None
        assert network is not None
        ended(server.attach_to_network(network, ip=want.private))

    yield change("~", f"server {want.name}", f"in the private network as {want.private}", make)


def private_address(server: BoundServer, common: Common) -> str:
    """A server's address in the private network, empty if it has none there."""
    network = common.network
    ours = (each for each in server.private_net or [] if network and each.network.id == network.id)
    return next((str(each.ip) for each in ours), "")
