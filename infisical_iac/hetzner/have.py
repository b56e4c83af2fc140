"""What is there of what is wanted: looked at by name, and taken only with our label."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from hcloud import APIException, Client
from hcloud.certificates import BoundCertificate
from hcloud.firewalls import BoundFirewall
from hcloud.load_balancers import BoundLoadBalancer
from hcloud.networks import BoundNetwork
from hcloud.placement_groups import BoundPlacementGroup
from hcloud.primary_ips import BoundPrimaryIP
from hcloud.servers import BoundServer
from hcloud.ssh_keys import BoundSSHKey
from hcloud.volumes import BoundVolume
from hcloud.zones import BoundZone, BoundZoneRRSet

from infisical_iac.hetzner.api import CLUSTER, SELECTOR, is_ours
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.names import address_name, host_address, volume_name
from infisical_iac.hetzner.wanted import Wanted

RECORDS = {"ipv4": "A", "ipv6": "AAAA"}


class _Labelled(Protocol):
    id: Any
    name: Any
    labels: Any


_T = TypeVar("_T", bound=_Labelled)


@dataclass
class Common:
    """What all servers share; each is filled in when it is made.

    Attributes:
        keys: all of the project, ours or not, for a key can be there once only.
        records: by type, `A` and `AAAA`.
        certificates: those that we had issued, by name.
    """

    client: Client
    firewall: BoundFirewall | None = None
    group: BoundPlacementGroup | None = None
    zone: BoundZone | None = None
    network: BoundNetwork | None = None
    balancer: BoundLoadBalancer | None = None
    keys: list[BoundSSHKey] = field(default_factory=list)
    records: dict[str, BoundZoneRRSet] = field(default_factory=dict)
    certificates: dict[str, BoundCertificate] = field(default_factory=dict)


@dataclass
class Have:
    """What is there of one server; each is filled in when it is made.

    Attributes:
        addresses: by `ipv4` and `ipv6`.
    """

    common: Common
    server: BoundServer | None = None
    volume: BoundVolume | None = None
    addresses: dict[str, BoundPrimaryIP] = field(default_factory=dict)

    @property
    def client(self) -> Client:
        """The client of the API."""
        return self.common.client

    @property
    def address(self) -> str:
        """Where SSH goes to: IPv4 if there is one."""
        found = self.addresses.get("ipv4") or self.addresses.get("ipv6")
        return host_address(found) if found else ""


def look(common: Common, want: Wanted) -> Have:
    """What is there of a server. Raises HetznerError for what has its name without being ours."""
    client = common.client
    with told("look at Hetzner Cloud"):
        have = Have(
            common,
            server=_ours("server", client.servers.get_by_name(want.name)),
            volume=_ours("volume", client.volumes.get_by_name(volume_name(want))),
        )
        for version in ("ipv4", "ipv6"):
            found = client.primary_ips.get_by_name(address_name(want, version))
            if address := _ours("primary IP", found):
                have.addresses[version] = address
        return have


def look_at_common(client: Client, want: Wanted) -> Common:
    """What is there of what all share. Raises HetznerError as `look` does."""
    with told("look at Hetzner Cloud"):
        common = Common(
            client,
            firewall=_ours("firewall", client.firewalls.get_by_name(want.family)),
            keys=client.ssh_keys.get_all(),
        )
        if want.group:
            common.group = client.placement_groups.get_by_name(want.group)
        if want.role:
            common.network = _ours("network", client.networks.get_by_name(want.family))
            balancers = client.load_balancers
            common.balancer = _ours("Load Balancer", balancers.get_by_name(want.family))
            issued = client.certificates.get_all(label_selector=SELECTOR)
            common.certificates = {str(each.name): each for each in issued}
        if want.zone:
            _look_at_zone(common, want)
        return common


def servers(client: Client) -> list[BoundServer]:
    """All servers that this project made."""
    with told("list the servers"):
        return client.servers.get_all(label_selector=SELECTOR)


def members(client: Client, want: Wanted) -> list[str]:
    """The names of all servers of a cluster, sorted; none for a server on its own."""
    if not want.role:
        return []
    with told("list the servers"):
        found = client.servers.get_all(label_selector=f"{SELECTOR},{CLUSTER}={want.family}")
    return sorted(str(each.name) for each in found)


def _look_at_zone(common: Common, want: Wanted) -> None:
    try:
        common.zone = common.client.zones.get(want.zone)
    except APIException as error:
        if error.code != "not_found":
            raise
        raise HetznerError(
            f"setting 'server_dns_zone': the project has no zone {want.zone}: make it in the "
            "console, or leave the setting empty and set the records where the domain is"
        ) from None
    for rrset in common.zone.get_rrset_all(name=want.record):
        if rrset.type in RECORDS.values():
            what = f"record {want.record} {rrset.type} in {want.zone}"
            common.records[str(rrset.type)] = _labelled(what, rrset.labels, rrset)
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
