"""What is there of what is wanted: looked at by name, and taken only if the deployment owns it."""

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

from infisical_iac.hetzner.desired import Wanted
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.fleet import Fleet
from infisical_iac.hetzner.names import address_name, host_address, volume_name
from infisical_iac.hetzner.ownership import (
    CLUSTER,
    KINDS,
    REPLACES,
    SELECTOR,
    Standing,
    assess,
    is_own,
    refuse_other,
    require,
)

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
        deployment: whose all of it is.
        adoptable: kinds and ids of what no deployment has adopted and this one may.
        keys: all of the project, ours or not, for a key can be there once only.
        records: by type, `A` and `AAAA`.
        certificates: those that the deployment had issued, by name.
    """

    client: Client
    deployment: str
    adoptable: frozenset[tuple[str, Any]] = frozenset()
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
    """Return what is there of a server. Raises HetznerError for what others own by its name."""
    client = common.client
    with told("look at Hetzner Cloud"):
        have = Have(
            common,
            server=_ours(common, "servers", client.servers.get_by_name(want.name)),
            volume=_ours(common, "volumes", client.volumes.get_by_name(volume_name(want))),
        )
        for version in ("ipv4", "ipv6"):
            found = client.primary_ips.get_by_name(address_name(want, version))
            if address := _ours(common, "primary_ips", found):
                have.addresses[version] = address
        return have


def look_at_common(
    client: Client, want: Fleet, adoptable: frozenset[tuple[str, Any]] = frozenset()
) -> Common:
    """What is there of what all share. Raises HetznerError as `look` does."""
    one = want.first
    common = Common(client, one.family, adoptable)
    with told("look at Hetzner Cloud"):
        wall = client.firewalls.get_by_name(one.family)
        common.firewall = _ours(common, "firewalls", wall)
        # Whoever brought a key or a group there, a server may be made with it.
        common.keys = client.ssh_keys.get_all()
        if one.group:
            common.group = client.placement_groups.get_by_name(one.group)
        if one.role:
            network = client.networks.get_by_name(one.family)
            common.network = _ours(common, "networks", network)
            balancer = client.load_balancers.get_by_name(one.family)
            common.balancer = _ours(common, "load_balancers", balancer)
        # Also of a cluster that has become a server on its own again.
        issued = client.certificates.get_all(label_selector=SELECTOR)
        common.certificates = {
            str(each.name): each for each in issued if _has(common, "certificates", each)
        }
        if one.zone:
            _look_at_zone(common, one)
        return common


def servers(client: Client) -> list[BoundServer]:
    """All servers that this project made, for whichever deployment."""
    with told("list the servers"):
        return client.servers.get_all(label_selector=SELECTOR)


def members(common: Common) -> list[str]:
    """The names of all servers of the deployment, sorted, but for those that replace others."""
    found = servers(common.client)
    return sorted(
        str(each.name)
        for each in found
        if _has(common, "servers", each) and REPLACES not in (each.labels or {})
    )


def is_of_cluster(server: BoundServer, deployment: str) -> bool:
    """Return whether a server is labelled as a node of the deployment's cluster."""
    return (server.labels or {}).get(CLUSTER) == deployment


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
            _check(common, "rrsets", rrset, f"{want.record} {rrset.type} in {want.zone}")
            common.records[str(rrset.type)] = rrset
        elif rrset.type == "CNAME":
            raise HetznerError(
                f"{want.record} in {want.zone} is a CNAME, beside which there are no addresses: "
                "remove it first"
            )


def _ours(common: Common, kind: str, found: _T | None) -> _T | None:
    if found is not None:
        _check(common, kind, found, str(found.name))
    return found


def _check(common: Common, kind: str, found: _Labelled, name: str) -> None:
    if _has(common, kind, found):
        return
    what = f"{KINDS[kind]} {name}"
    if assess(found.labels, common.deployment) is Standing.UNADOPTED:
        # Its name is wanted, while other things show that another deployment has it.
        raise refuse_other(what, name if kind == "servers" else "")
    require(what, found.labels, common.deployment)


def _has(common: Common, kind: str, found: _Labelled) -> bool:
    return is_own(found.labels, common.deployment) or (kind, found.id) in common.adoptable
