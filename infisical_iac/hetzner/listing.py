"""List the resources of all deployments at Hetzner Cloud, a row each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from hcloud import Client
from hcloud.load_balancers import BoundLoadBalancer
from hcloud.servers import BoundServer
from hcloud.volumes import BoundVolume

from infisical_iac.hetzner.balancer import HEALTHY, addresses, targets
from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.ownership import DEPLOYMENT, KINDS, ROLE, SELECTOR, is_unadopted
from infisical_iac.hetzner.resource import servers


class Row(NamedTuple):
    """A server, a volume or a Load Balancer; `deployment` is empty for one to be adopted."""

    kind: str
    name: str
    what: str
    place: str
    status: str
    where: str
    deployment: str


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


def unadopted(client: Client) -> list[str]:
    """Return kind and name of all that no deployment has adopted. Raises HetznerError."""
    with told("look for what no deployment has adopted"):
        return [
            f"{what} {each.name}"
            for kind, what in KINDS.items()
            if kind not in ("rrsets", "zones")
            for each in getattr(client, kind).get_all(label_selector=SELECTOR)
            if is_unadopted(each.labels)
        ]


def _server(server: BoundServer) -> Row:
    net = server.public_net
    public = [str(each.ip) for each in ((net.ipv4, net.ipv6) if net else ()) if each]
    private = [str(each.ip) for each in server.private_net or []]
    what = [_name(server.server_type), (server.labels or {}).get(ROLE, "")]
    return Row(
        *("server", str(server.name), ", ".join(filter(None, what))),
        *(_name(server.location), str(server.status), ", ".join([*public, *private])),
        _deployment(server),
    )


def _volume(volume: BoundVolume, names: Mapping[int | None, str]) -> Row:
    on = names.get(volume.server.id, f"server {volume.server.id}") if volume.server else ""
    return Row(
        *("volume", str(volume.name), f"{volume.size} GB"),
        *(_name(volume.location), str(volume.status), on or "no server"),
        _deployment(volume),
    )


def _balancer(balancer: BoundLoadBalancer) -> Row:
    found = [*targets(balancer).values()]
    return Row(
        *("Load Balancer", str(balancer.name), _name(balancer.load_balancer_type)),
        *(_name(balancer.location), f"{found.count(HEALTHY)} of {len(found)} healthy"),
        ", ".join(addresses(balancer).values()),
        _deployment(balancer),
    )


def _name(resource: Any) -> str:
    return str(resource.name) if resource else ""


def _deployment(resource: Any) -> str:
    return str((resource.labels or {}).get(DEPLOYMENT, ""))
