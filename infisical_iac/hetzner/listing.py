"""What there is at Hetzner Cloud with our label, a row each."""

from typing import NamedTuple

from hcloud import Client

from infisical_iac.hetzner.api import SELECTOR
from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.have import servers


class Row(NamedTuple):
    """A server or a volume."""

    kind: str
    name: str
    what: str
    place: str
    status: str
    where: str


def rows(client: Client) -> list[Row]:
    """Servers, then volumes. Raises HetznerError."""
    found = servers(client)
    names = {each.id: str(each.name) for each in found}
    with told("list the volumes"):
        volumes = client.volumes.get_all(label_selector=SELECTOR)
    listed = []
    for server in found:
        net = server.public_net
        addresses = [str(each.ip) for each in ((net.ipv4, net.ipv6) if net else ()) if each]
        kind, at = server.server_type, server.location
        listed.append(
            Row(
                *("server", str(server.name), str(kind.name if kind else "")),
                *(str(at.name if at else ""), str(server.status), ", ".join(addresses)),
            )
        )
    for volume in volumes:
        on = names.get(volume.server.id, f"server {volume.server.id}") if volume.server else ""
        place = volume.location
        listed.append(
            Row(
                *("volume", str(volume.name), f"{volume.size} GB"),
                *(str(place.name if place else ""), str(volume.status), on or "no server"),
            )
        )
    return listed
