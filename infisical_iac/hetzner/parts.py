"""What differs of what a server is made with: keys, placement group, volume."""

from hcloud.locations import Location

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.desired import PublicKey, Wanted
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.names import volume_name
from infisical_iac.hetzner.ownership import labels
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.resource import Common, Have


def key_of(key: PublicKey, common: Common) -> object | None:
    """The key at Hetzner Cloud, whoever brought it there."""
    for each in common.keys:
        if key.text and " ".join(str(each.public_key).split()[:2]) == key.text:
            return each
        if not key.text and each.name == key.name:
            return each
    return None


def keys(want: Wanted, common: Common, *, complete: bool) -> Changes:
    """The SSH keys, which a server is made with: none any more once all are there (`complete`).

    Raises HetznerError for none, and for one that is not to be had.
    """
    if not want.keys and not complete:
        raise HetznerError(
            "setting 'server_ssh_keys' is empty: nobody could log in; put the path of your public "
            "key there, such as ~/.ssh/id_ed25519.pub"
        )
    for key in want.keys:
        if complete or key_of(key, common):
            continue
        if not key.text:
            raise HetznerError(
                f"setting 'server_ssh_keys': no key named {key.name} is at Hetzner Cloud; write "
                "the path of a public key, such as ~/.ssh/id_ed25519.pub"
            )

        def make(key: PublicKey = key) -> None:
            taken = {each.name for each in common.keys}
            name = next(
                each
                for each in (f"{want.family}-{key.name}", *(f"{key.name}-{n}" for n in range(99)))
                if each not in taken
            )
            made = common.client.ssh_keys.create(name, key.text, labels=labels(want.family))
            common.keys.append(made)

        yield change("+", f"SSH key {key.name}", "", make)


def group(want: Wanted, common: Common) -> Changes:
    """The placement group."""
    if want.group and common.group is None:

        def make() -> None:
            made = common.client.placement_groups.create(
                want.group, type="spread", labels=labels(want.family)
            )
            ended(made.action)
            common.group = made.placement_group

        yield change("+", f"placement group {want.group}", "spread", make)


def volume(want: Wanted, have: Have, prices: Prices) -> Changes:
    """The volume, its size and protection. Raises HetznerError for one that can't serve."""
    name = volume_name(want)
    if not want.volume_gb:
        return
    if have.volume is None:
        if have.server is not None:
            raise HetznerError(
                f"the server {want.name} is there without a volume: back up, make a new server "
                "with one, and restore there, or set server_volume_gb to 0"
            )
        detail = f"{want.volume_gb} GB, {prices.volume(want.volume_gb)}"
        yield change("+", f"volume {name}", detail, lambda: _make_volume(want, have))
    else:
        size, place = int(have.volume.size or 0), have.volume.location
        if place and place.name != want.location:
            raise HetznerError(
                f"the volume {name} is in {place.name}, and can't leave it: set server_location to "
                f"{place.name}"
            )
        if size < want.volume_gb:
            bigger = have.volume
            detail = f"{size} → {want.volume_gb} GB, {prices.volume(want.volume_gb)}"
            yield change(
                "~", f"volume {name}", detail, lambda: ended(bigger.resize(want.volume_gb))
            )
    protection = have.volume.protection if have.volume else None
    if not (protection and protection["delete"]):
        yield change("~", f"volume {name}", "protected from deletion", lambda: _protect(have))


def _make_volume(want: Wanted, have: Have) -> None:
    # Without a file system: the deploy makes it, and knows by that that it is its own.
    made = have.client.volumes.create(
        size=want.volume_gb,
        name=volume_name(want),
        labels=labels(want.family),  # type: ignore[arg-type]  # the library's annotation is wrong
        location=Location(name=want.location),
    )
    ended(made.action, then=made.next_actions)
    have.volume = made.volume


def _protect(have: Have) -> None:
    assert have.volume is not None
    ended(have.volume.change_protection(delete=True))
