"""The volumes that servers of a cluster had before they were replaced: set aside, never deleted."""

from hcloud import Client
from hcloud.volumes import BoundVolume

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.names import volume_name
from infisical_iac.hetzner.ownership import selector


def aside(want: Wanted, volume: BoundVolume) -> str:
    """The name of a volume that is set aside."""
    return f"{volume_name(want)}-{volume.id}"


def of_deployment(client: Client, deployment: str) -> list[BoundVolume]:
    """Return all volumes of a deployment, also those of servers that are gone or were replaced."""
    with told("list the volumes"):
        return client.volumes.get_all(label_selector=selector(deployment))


def put_aside(want: Wanted, volume: BoundVolume) -> None:
    """Take a volume off its server and give its name free."""
    if volume.server:
        ended(volume.detach())
    volume.update(name=aside(want, volume))
