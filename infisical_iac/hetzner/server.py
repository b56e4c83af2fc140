"""What differs of the server itself."""

from collections.abc import Callable, Mapping

from hcloud.images import Image
from hcloud.locations import Location
from hcloud.primary_ips import BoundPrimaryIP
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer, ServerCreatePublicNetwork

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Changes, change
from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.firewall_changes import Alive, apply_wall, guards
from infisical_iac.hetzner.ownership import CLUSTER, REPLACES, ROLE, labels
from infisical_iac.hetzner.parts import key_of
from infisical_iac.hetzner.prices import Prices
from infisical_iac.hetzner.resource import Have

# Gets what cloud-init is told, once the addresses are known; remembers the host's key first.
UserData = Callable[[str], str]


def server_labels(want: Wanted) -> dict[str, str]:
    """The labels of a server: in a cluster, of which and in which role."""
    return labels(want.family) | _place(want)


def _place(want: Wanted) -> dict[str, str]:
    return {CLUSTER: want.family, ROLE: want.role} if want.role else {}


def labelled(want: Wanted, have: Have) -> Changes:
    """The labels of a server that is there already."""
    server, wanted = have.server, _place(want)
    if server is not None and not wanted.items() <= (server.labels or {}).items():
        detail = f"{want.role} of the cluster {want.family}"
        yield change(
            "~",
            f"server {want.name}",
            detail,
            lambda: _keep(have, server.update(labels={**(server.labels or {}), **wanted})),
        )


def _keep(have: Have, server: BoundServer) -> None:
    have.server = server


def server(want: Wanted, have: Have, prices: Prices, user_data: UserData, alive: Alive) -> Changes:
    """The server, and what belongs on it. Raises HetznerError for a volume that another has."""
    if have.server is None:
        detail = f"{want.type} in {want.location} with {want.image}"
        price = prices.server(want.type, want.location)
        yield change(
            "+",
            f"server {want.name}",
            f"{detail}, {price}",
            lambda: _make_server(want, have, user_data),
        )
        return
    attached = have.volume.server if have.volume else None
    if have.volume and attached and attached.id != have.server.id:
        raise HetznerError(
            f"the volume {have.volume.name} is attached to another server: a `server replace` has "
            "not ended, or somebody moved it; run `infisical-iac server replace`, or detach it"
        )
    if have.volume and attached is None and want.volume_gb:
        volume, server = have.volume, have.server
        yield change(
            "~",
            f"volume {volume.name}",
            f"attached to {want.name}",
            lambda: ended(volume.attach(server, automount=False)),
        )
    # One that is missing is made just before.
    if want.openings and not (have.common.firewall and guards(have)):
        yield change(
            "~",
            f"firewall {want.family}",
            f"applied to {want.name}",
            lambda: apply_wall(have, alive),
        )
    if have.server.status == "off":
        off = have.server
        yield change("~", f"server {want.name}", "off → running", lambda: ended(off.power_on()))


def make_server(
    want: Wanted,
    have: Have,
    *,
    name: str,
    user_data: str,
    addresses: Mapping[str, BoundPrimaryIP],
    replaces: str = "",
) -> None:
    """Make a server and wait until it runs.

    Args:
        addresses: by `ipv4` and `ipv6`.
        replaces: the server whose place it is going to take, with the volume; else it gets the
            volume at once.
    """
    own = not replaces
    made = have.client.servers.create(
        name=name,
        server_type=ServerType(name=want.type),
        image=Image(name=want.image),
        ssh_keys=[key_of(key, have.common) for key in want.keys],  # type: ignore[misc]
        volumes=[have.volume] if own and have.volume and want.volume_gb else [],
        automount=False if own and have.volume and want.volume_gb else None,
        firewalls=[have.common.firewall] if have.common.firewall else [],
        placement_group=have.common.group,
        user_data=user_data,
        labels=server_labels(want) | ({REPLACES: replaces} if replaces else {}),
        location=Location(name=want.location),
        public_net=ServerCreatePublicNetwork(
            enable_ipv4=want.ipv4,
            enable_ipv6=want.ipv6,
            ipv4=addresses.get("ipv4"),
            ipv6=addresses.get("ipv6"),
        ),
    )
    have.server = made.server
    ended(made.action, then=made.next_actions)


def _make_server(want: Wanted, have: Have, user_data: UserData) -> None:
    make_server(
        want, have, name=want.name, user_data=user_data(have.address), addresses=have.addresses
    )


def backups(want: Wanted, have: Have, prices: Prices) -> Changes:
    """The backups of the server's own disk."""
    if want.backups and not (have.server and have.server.backup_window):

        def make() -> None:
            assert have.server is not None
            ended(have.server.enable_backup())

        yield change(
            "+", f"backups of {want.name}", str(prices.backups(want.type, want.location)), make
        )
