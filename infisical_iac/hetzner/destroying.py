"""What `infisical-iac server destroy` takes away: all that carries our label, in order."""

from collections.abc import Iterator

from hcloud.volumes import BoundVolume

from infisical_iac.hetzner import known_hosts
from infisical_iac.hetzner.api import ended, is_ours
from infisical_iac.hetzner.change import Change
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.names import host_address
from infisical_iac.hetzner.session import Everything, Session
from infisical_iac.hetzner.volumes import set_aside
from infisical_iac.item import Item


def removals(found: Everything, *, with_data: bool) -> Iterator[Change]:
    """What is there, each with what removes it; the volumes only `with_data`.

    Raises HetznerError while a replacement is under way.
    """
    want, common, all_ = found.want.first, found.common, sessions(found)
    with told("look for a replacement that is under way"):
        next_one = common.client.servers.get_by_name(f"{want.name}-next")
    if next_one:
        raise HetznerError(
            f"a replacement of {want.name} has not ended: `infisical-iac server replace` ends it, "
            "or goes back with --undo"
        )
    for kind, rrset in common.records.items():
        yield Change(
            Item("-", f"record {want.record} {kind} in {want.zone}"),
            lambda rrset=rrset: ended(rrset.delete_rrset().action),  # type: ignore[misc]
        )
    if balancer := common.balancer:
        yield Change(
            Item("-", f"Load Balancer {want.family}"), lambda: ended(balancer.delete().action)
        )
    for name, certificate in common.certificates.items():
        if name.startswith(f"{want.family}-"):
            yield Change(
                Item("-", f"certificate {name}"),
                lambda certificate=certificate: _delete(certificate),  # type: ignore[misc]
            )
    for each in all_:
        yield from _server(each)
    yield from _shared(found)
    for each in all_ if with_data else ():
        yield from _data(each)


def sessions(found: Everything) -> tuple[Session, ...]:
    """Those of all servers that are there or wanted."""
    return (*found.nodes, *found.surplus)


def _server(of: Session) -> Iterator[Change]:
    if server := of.have.server:
        yield Change(Item("-", f"server {of.want.name}"), lambda: ended(server.delete()))
    for address in of.have.addresses.values():
        yield Change(
            Item("-", f"primary IP {address.name}", str(address.ip)),
            lambda address=address: _delete(address),  # type: ignore[misc]
        )


def _shared(found: Everything) -> Iterator[Change]:
    want, common = found.want.first, found.common
    if network := common.network:
        yield Change(Item("-", f"network {want.family}"), lambda: _delete(network))
    if wall := common.firewall:
        yield Change(Item("-", f"firewall {want.family}"), lambda: _delete(wall))
    if (group := common.group) and is_ours(group.labels) and _is_empty(found):
        yield Change(Item("-", f"placement group {want.group}"), lambda: _delete(group))
    for key in common.keys:
        if is_ours(key.labels) and str(key.name).startswith(f"{want.family}-"):
            yield Change(Item("-", f"SSH key {key.name}"), lambda key=key: _delete(key))  # type: ignore[misc]


def _data(of: Session) -> Iterator[Change]:
    own = [of.have.volume] if of.have.volume else []
    for volume in [*own, *set_aside(of.have.client, of.want)]:
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


def _is_empty(found: Everything) -> bool:
    group = found.common.group
    ours = {each.have.server.id for each in sessions(found) if each.have.server}
    return not {*((group.servers or []) if group else [])} - ours


def _delete(resource: object) -> None:
    resource.delete()  # type: ignore[attr-defined]


def _delete_data(volume: BoundVolume) -> None:
    if volume.protection and volume.protection["delete"]:
        ended(volume.change_protection(delete=False))
    volume.reload()
    if volume.server:
        ended(volume.detach())
    volume.delete()
