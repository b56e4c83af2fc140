"""Plan `infisical-iac server destroy`: all that carries the deployment's labels goes."""

from collections.abc import Iterable, Iterator
from typing import Any

from hcloud.placement_groups import BoundPlacementGroup
from hcloud.primary_ips import BoundPrimaryIP
from hcloud.volumes import BoundVolume
from hcloud.zones import BoundZoneRRSet

from infisical_iac.hetzner import known_hosts
from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Change
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.names import host_address
from infisical_iac.hetzner.ownership import KINDS, REPLACES, selector
from infisical_iac.hetzner.plan import Everything, Session
from infisical_iac.hetzner.volumes import of_deployment
from infisical_iac.item import Item


def removals(found: Everything, *, with_data: bool) -> Iterator[Change]:
    """What is there, each with what removes it; the volumes only `with_data`.

    Raises HetznerError while a replacement is under way.
    """
    want, common, all_ = found.want.first, found.common, sessions(found)
    with told("look for a replacement that is under way"):
        replacing = selector(want.family, **{REPLACES: want.name})
        next_one = common.client.servers.get_all(label_selector=replacing)
    if next_one:
        raise HetznerError(
            f"a replacement of {want.name} has not ended: `infisical-iac server replace` ends it, "
            "or goes back with --undo"
        )
    for rrset in _records(found):
        yield Change(
            Item("-", f"record {rrset.name} {rrset.type} in {want.zone}"),
            lambda rrset=rrset: ended(rrset.delete_rrset().action),  # type: ignore[misc]
        )
    for balancer in _owned(found, "load_balancers"):
        yield Change(
            Item("-", f"Load Balancer {balancer.name}"),
            lambda balancer=balancer: ended(balancer.delete().action),  # type: ignore[misc]
        )
    yield from _each(_owned(found, "certificates"), "certificates")
    for each in all_:
        yield from _server(each)
    seen = {each.id for of in all_ for each in of.have.addresses.values()}
    left = [each for each in _owned(found, "primary_ips") if each.id not in seen]
    yield from map(_address, left)
    yield from _shared(found)
    if with_data:
        yield from _data(found)


def _owned(found: Everything, kind: str) -> list[Any]:
    """Return all of a kind that carries the deployment's labels, wanted or left over."""
    with told("list what belongs to the deployment"):
        resources = getattr(found.common.client, kind)
        return list(resources.get_all(label_selector=selector(found.common.deployment)))


def _records(found: Everything) -> list[BoundZoneRRSet]:
    zone = found.common.zone
    if zone is None:
        return []
    with told("list the records of the deployment"):
        return zone.get_rrset_all(label_selector=selector(found.common.deployment))


def _each(resources: Iterable[Any], kind: str) -> Iterator[Change]:
    for each in resources:
        item = Item("-", f"{KINDS[kind]} {each.name}")
        yield Change(item, lambda each=each: _delete(each))  # type: ignore[misc]


def sessions(found: Everything) -> tuple[Session, ...]:
    """Those of all servers that are there or wanted."""
    return (*found.nodes, *found.surplus)


def _server(of: Session) -> Iterator[Change]:
    if server := of.have.server:
        yield Change(Item("-", f"server {of.want.name}"), lambda: ended(server.delete()))
    yield from map(_address, of.have.addresses.values())


def _address(address: BoundPrimaryIP) -> Change:
    item = Item("-", f"primary IP {address.name}", str(address.ip))
    return Change(item, lambda: _delete(address))


def _shared(found: Everything) -> Iterator[Change]:
    for kind in ("networks", "firewalls"):
        yield from _each(_owned(found, kind), kind)
    groups = [each for each in _owned(found, "placement_groups") if _is_empty(found, each)]
    yield from _each(groups, "placement_groups")
    yield from _each(_owned(found, "ssh_keys"), "ssh_keys")


def _data(found: Everything) -> Iterator[Change]:
    for volume in of_deployment(found.common.client, found.common.deployment):
        yield Change(
            Item("-", f"volume {volume.name}", f"{volume.size} GB, with all data"),
            lambda volume=volume: _delete_data(volume),  # type: ignore[misc]
        )


def forget(found: Everything) -> None:
    """Know no host key of what is gone."""
    for session in sessions(found):
        for address in session.have.addresses.values():
            login = session.login(host_address(address))
            known_hosts.forget(login.known, login.address, login.port)


def _is_empty(found: Everything, group: BoundPlacementGroup) -> bool:
    """Return whether no server of others is in a group once those of the deployment are gone."""
    ours = {each.have.server.id for each in sessions(found) if each.have.server}
    return not {*(group.servers or [])} - ours


def _delete(resource: object) -> None:
    resource.delete()  # type: ignore[attr-defined]


def _delete_data(volume: BoundVolume) -> None:
    if volume.protection and volume.protection["delete"]:
        ended(volume.change_protection(delete=False))
    volume.reload()
    if volume.server:
        ended(volume.detach())
    volume.delete()
