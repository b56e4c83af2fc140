"""The volumes that servers of a cluster had before they were replaced: set aside, never deleted."""

from hcloud import Client
from hcloud.volumes import BoundVolume

from infisical_iac.hetzner.api import SELECTOR, ended
from infisical_iac.hetzner.failures import told
from infisical_iac.hetzner.names import volume_name
from infisical_iac.hetzner.wanted import Wanted


def aside(want: Wanted, volume: BoundVolume) -> str:
    """The name of a volume that is set aside."""
    return f"{volume_name(want)}-{volume.id}"


def set_aside(client: Client, want: Wanted) -> list[BoundVolume]:
    """Those of a server. Raises HetznerError."""
    with told("list the volumes"):
        found = client.volumes.get_all(label_selector=SELECTOR)
    return [each for each in found if each.name == aside(want, each)]


def put_aside(want: Wanted, volume: BoundVolume) -> None:
    """Take a volume off its server and give its name free."""
    if volume.server:
        ended(volume.detach())
    volume.update(name=aside(want, volume))
