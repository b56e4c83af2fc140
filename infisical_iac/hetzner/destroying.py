"""What `infisical-iac server destroy` takes away: all that carries our label, in order."""

from collections.abc import Iterator

from infisical_iac.hetzner import known_hosts
from infisical_iac.hetzner.api import ended, is_ours
from infisical_iac.hetzner.change import Change
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.have import host_address
from infisical_iac.hetzner.session import Session
from infisical_iac.item import Item


def removals(session: Session, *, with_data: bool) -> Iterator[Change]:
    """What is there, each with what removes it; the volume only `with_data`.

    Raises HetznerError while a replacement is under way.
    """
    have, want = session.have, session.want
    with told("look for a replacement that is under way"):
        next_one = have.client.servers.get_by_name(f"{want.name}-next")
    if next_one:
        raise HetznerError(
            f"a replacement of {want.name} has not ended: `infisical-iac server replace` ends it, "
            "or goes back with --undo"
        )
    for kind, rrset in have.records.items():
        yield Change(
            Item("-", f"record {want.record} {kind} in {want.zone}"),
            lambda rrset=rrset: ended(rrset.delete_rrset().action),  # type: ignore[misc]
        )
    if server := have.server:
        yield Change(Item("-", f"server {want.name}"), lambda: ended(server.delete()))
    for address in have.addresses.values():
        yield Change(
            Item("-", f"primary IP {address.name}", str(address.ip)),
            lambda address=address: _delete(address),  # type: ignore[misc]
        )
    if wall := have.firewall:
        yield Change(Item("-", f"firewall {want.name}"), lambda: _delete(wall))
    if (group := have.group) and is_ours(group.labels) and _is_empty(session):
        yield Change(Item("-", f"placement group {want.group}"), lambda: _delete(group))
    for key in have.keys:
        if is_ours(key.labels) and str(key.name).startswith(f"{want.name}-"):
            yield Change(Item("-", f"SSH key {key.name}"), lambda key=key: _delete(key))  # type: ignore[misc]
    if with_data and (volume := have.volume):
        yield Change(
            Item("-", f"volume {volume.name}", f"{volume.size} GB, with all data"),
            lambda: _delete_data(session),
        )


def forget(session: Session) -> None:
    """Know no host key of what is gone."""
    for address in session.have.addresses.values():
        login = session.login(host_address(address))
        known_hosts.forget(login.known, login.address, login.port)


def _is_empty(session: Session) -> bool:
    group, server = session.have.group, session.have.server
    return not {*((group.servers or []) if group else [])} - {server.id if server else 0}


def _delete(resource: object) -> None:
    resource.delete()  # type: ignore[attr-defined]


def _delete_data(session: Session) -> None:
    volume = session.have.volume
    assert volume is not None
    ended(volume.change_protection(delete=False))
    volume.reload()
    if volume.server:
        ended(volume.detach())
    volume.delete()
