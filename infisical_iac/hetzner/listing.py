"""What there is at Hetzner Cloud with our label, a row each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hcloud import Client
from hcloud.load_balancers import BoundLoadBalancer
from hcloud.servers import BoundServer
from hcloud.volumes import BoundVolume

from infisical_iac.hetzner.api import ROLE, SELECTOR
from infisical_iac.hetzner.balancer import HEALTHY, addresses, targets
from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.have import servers


class Row(NamedTuple):
    """A server, a volume or a Load Balancer."""

    kind: str
    name: str
    what: str
    place: str
    status: str
    where: str


def rows(client: Client) -> list[Row]:
    """Servers, then volumes, then Load Balancers. Raises HetznerError."""
    found = servers(client)
    names = {each.id: str(each.name) for each in found}
    with told("list the volumes and Load Balancers"):
        volumes = client.volumes.get_all(label_selector=SELECTOR)
        balancers = client.load_balancers.get_all(label_selector=SELECTOR)
    return [
        *map(_server, found),
        *(_volume(each, names) for each in volumes),
        *map(_balancer, balancers),
    ]


def _server(server: BoundServer) -> Row:
    net = server.public_net
    public = [str(each.ip) for each in ((net.ipv4, net.ipv6) if net else ()) if each]
    private = [str(each.ip) for each in server.private_net or []]
    what = [_name(server.server_type), (server.labels or {}).get(ROLE, "")]
    return Row(
        *("server", str(server.name), ", ".join(filter(None, what))),
        *(_name(server.location), str(server.status), ", ".join([*public, *private])),
    )


def _volume(volume: BoundVolume, names: Mapping[int | None, str]) -> Row:
    on = names.get(volume.server.id, f"server {volume.server.id}") if volume.server else ""
    return Row(
        *("volume", str(volume.name), f"{volume.size} GB"),
        *(_name(volume.location), str(volume.status), on or "no server"),
    )


def _balancer(balancer: BoundLoadBalancer) -> Row:
    found = [*targets(balancer).values()]
    return Row(
        *("Load Balancer", str(balancer.name), _name(balancer.load_balancer_type)),
        *(_name(balancer.location), f"{found.count(HEALTHY)} of {len(found)} healthy"),
        ", ".join(addresses(balancer).values()),
    )


def _name(resource: Any) -> str:
    return str(resource.name) if resource else ""
