"""What is at Hetzner Cloud of what is wanted: looked at by name, and taken only with our label."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Protocol, TypeVar

from hcloud import APIException, Client
from hcloud.firewalls import BoundFirewall
from hcloud.placement_groups import BoundPlacementGroup
from hcloud.primary_ips import BoundPrimaryIP
from hcloud.servers import BoundServer
from hcloud.ssh_keys import BoundSSHKey
from hcloud.volumes import BoundVolume
from hcloud.zones import BoundZone, BoundZoneRRSet

from infisical_iac.hetzner.api import SELECTOR, is_ours
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.wanted import Wanted

RECORDS = {"ipv4": "A", "ipv6": "AAAA"}


class _Labelled(Protocol):
    id: Any
    name: Any
    labels: Any


_T = TypeVar("_T", bound=_Labelled)


@dataclass
class Have:
    """What is there; each is filled in when it is made.

    Attributes:
        addresses: by `ipv4` and `ipv6`.
        keys: all of the project, ours or not, for a key can be there once only.
        records: by type, `A` and `AAAA`.
    """

    client: Client
    server: BoundServer | None = None
    firewall: BoundFirewall | None = None
    group: BoundPlacementGroup | None = None
    volume: BoundVolume | None = None
    zone: BoundZone | None = None
    keys: list[BoundSSHKey] = field(default_factory=list)
    addresses: dict[str, BoundPrimaryIP] = field(default_factory=dict)
    records: dict[str, BoundZoneRRSet] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where SSH goes to: IPv4 if there is one."""
        found = self.addresses.get("ipv4") or self.addresses.get("ipv6")
        return host_address(found) if found else ""


def look(client: Client, want: Wanted) -> Have:
    """What is there. Raises HetznerError for what has such a name without being ours."""
    with told("look at Hetzner Cloud"):
        have = Have(
            client,
            server=_ours("server", client.servers.get_by_name(want.name)),
            firewall=_ours("firewall", client.firewalls.get_by_name(want.name)),
            volume=_ours("volume", client.volumes.get_by_name(volume_name(want))),
            keys=client.ssh_keys.get_all(),
        )
        if want.group:
            have.group = client.placement_groups.get_by_name(want.group)
        for version in ("ipv4", "ipv6"):
            found = client.primary_ips.get_by_name(address_name(want, version))
            if address := _ours("primary IP", found):
                have.addresses[version] = address
        if want.zone:
            _look_at_zone(have, want)
        return have


def servers(client: Client) -> list[BoundServer]:
    """All servers that this project made."""
    with told("list the servers"):
        return client.servers.get_all(label_selector=SELECTOR)


def _look_at_zone(have: Have, want: Wanted) -> None:
    try:
        have.zone = have.client.zones.get(want.zone)
    except APIException as error:
        if error.code != "not_found":
            raise
        raise HetznerError(
            f"setting 'server_dns_zone': the project has no zone {want.zone}: make it in the "
            "console, or leave the setting empty and set the records where the domain is"
        ) from None
    for rrset in have.zone.get_rrset_all(name=want.record):
        if rrset.type in RECORDS.values():
            what = f"record {want.record} {rrset.type} in {want.zone}"
            have.records[str(rrset.type)] = _labelled(what, rrset.labels, rrset)
        elif rrset.type == "CNAME":
            raise HetznerError(
                f"{want.record} in {want.zone} is a CNAME, beside which there are no addresses: "
                "remove it first"
            )


def _ours(kind: str, found: _T | None) -> _T | None:
    return None if found is None else _labelled(f"{kind} {found.name}", found.labels, found)


_Any = TypeVar("_Any")


def _labelled(what: str, labels: Mapping[str, str] | None, found: _Any) -> _Any:
    if not is_ours(labels):
        raise HetznerError(
            f"the {what} is not one that infisical-iac made, and is left alone: rename it, choose "
            f"another server_name, or give it the label {SELECTOR} if it may be changed"
        )
    return found


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
