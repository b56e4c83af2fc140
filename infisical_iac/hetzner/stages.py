"""What each stage of a replacement, and of the way back, does."""

from collections.abc import Callable

from hcloud.locations import Location
from hcloud.servers import BoundServer

from infisical_iac.hetzner import known_hosts
from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.moving import (
    PROVEN,
    Doing,
    Replacement,
    next_name,
    replacement_labels,
)
from infisical_iac.hetzner.ownership import REPLACES
from infisical_iac.hetzner.plan import READY, is_ready
from infisical_iac.hetzner.remote import ready
from infisical_iac.hetzner.server import make_server


def _make(now: Replacement, hands: Doing) -> None:
    # Else the volume would move, and the data be deleted with the old server.
    if now.old and now.old.status == "running":
        hands.check(now.final())
    # Which address it gets is known afterwards; its key is, before.
    session = now.session
    user_data = session.user_data(_PENDING)
    _make_temporary(now)
    make_server(
        session.want,
        session.have,
        name=next_name(session),
        user_data=user_data,
        addresses=now.temporary_addresses,
        replaces=session.want.name,
    )


def _make_temporary(now: Replacement) -> None:
    """Make the addresses that the new server begins with, which go when it goes."""
    session = now.session
    for version in session.want.versions:
        if version in now.temporary_addresses:
            continue
        made = session.have.client.primary_ips.create(
            type=version,
            name=f"{next_name(session)}-{version}",
            location=Location(name=session.want.location),
            assignee_type="server",
            auto_delete=True,
            labels=replacement_labels(session),
        )
        ended(made.action)
        now.temporary_addresses[version] = made.primary_ip


# Stands in known_hosts for a server whose address nobody knows yet.
_PENDING = "next.invalid"


def _ready(now: Replacement, hands: Doing) -> None:
    assert now.new is not None
    login, final = now.temporary(), now.final()
    known = [
        *known_hosts.keys(login.known, login.address, login.port),
        *known_hosts.keys(login.known, _PENDING, login.port),
    ]
    known_hosts.keep(login.known, login.address, login.port, *dict.fromkeys(known))
    ready(login, timeout=now.timeout)
    own = known_hosts.keys(login.known, login.address, login.port)
    # It will have that address; until then the old server has.
    there = known_hosts.keys(final.known, final.address, final.port)
    known_hosts.keep(final.known, final.address, final.port, *dict.fromkeys([*there, *own]))
    now.new.update(labels={**(now.new.labels or {}), **READY})
    known_hosts.forget(login.known, _PENDING, login.port)


def _release(now: Replacement, hands: Doing) -> None:
    if now.old and now.old.status == "running":
        hands.release(now.final())
    _detach(now)


def _detach(now: Replacement) -> None:
    volume = now.session.have.volume
    assert volume is not None
    ended(volume.detach())


def _attach(now: Replacement, hands: Doing) -> None:
    _attach_to(now, now.new)


def _attach_to(now: Replacement, server: BoundServer | None) -> None:
    volume = now.session.have.volume
    assert volume is not None
    assert server is not None
    ended(volume.attach(server, automount=False))


def _prove(now: Replacement, hands: Doing) -> None:
    assert now.new is not None
    hands.look(now.temporary())
    hands.apply(now.temporary())
    hands.prove(now.temporary())
    now.new.update(labels={**(now.new.labels or {}), **PROVEN})


def _unassign(now: Replacement, hands: Doing) -> None:
    assert now.old is not None
    _turn_off(now.old)
    for each in now.session.have.addresses.values():
        if each.assignee_id == now.old.id:
            ended(each.unassign())


def _assign(now: Replacement, hands: Doing) -> None:
    assert now.new is not None
    _turn_off(now.new)
    if now.new.public_net and (now.new.public_net.ipv4 or now.new.public_net.ipv6):
        login, final = now.temporary(), now.final()
        if login != final:
            known_hosts.forget(login.known, login.address, login.port)
    drop_temporary(now)
    now.assign_to(now.new)


def drop_temporary(now: Replacement) -> None:
    """Delete the addresses that the new server was made with, which is off or not there."""
    for each in now.temporary_addresses.values():
        if each.assignee_id is not None:
            ended(each.unassign())
        each.delete()


def _start(now: Replacement, hands: Doing) -> None:
    assert now.new is not None
    ended(now.new.power_on())


def _retire(now: Replacement, hands: Doing) -> None:
    assert now.old is not None
    final = now.final()
    known_hosts.keep(final.known, final.address, final.port, hands.wait(final))
    hands.prove(final)
    ended(now.old.delete())


def _rename(now: Replacement, hands: Doing) -> None:
    assert now.new is not None
    kept = {name: text for name, text in (now.new.labels or {}).items() if name != REPLACES}
    now.new.update(name=now.session.want.name, labels=kept)


def _turn_off(server: BoundServer) -> None:
    if server.status != "off":
        ended(server.shutdown())
        server.reload()
    # It is asked to; one that does not hear is turned off.
    if server.status != "off":
        ended(server.power_off())


FORTH: dict[str, Callable[[Replacement, Doing], None]] = {
    "make": _make,
    "ready": _ready,
    "release": _release,
    "attach": _attach,
    "prove": _prove,
    "unassign": _unassign,
    "assign": _assign,
    "start": _start,
    "retire": _retire,
    "rename": _rename,
}


def _back_release(now: Replacement, hands: Doing) -> None:
    if now.new and now.new.status == "running" and is_ready(now.new.labels):
        hands.release(now.temporary())
    _detach(now)


def _back_attach(now: Replacement, hands: Doing) -> None:
    _attach_to(now, now.old)


def _back_assign(now: Replacement, hands: Doing) -> None:
    assert now.old is not None
    _turn_off(now.old)
    now.assign_to(now.old)


def _back_start(now: Replacement, hands: Doing) -> None:
    assert now.old is not None
    ended(now.old.power_on())


def end_undo(now: Replacement, hands: Doing) -> None:
    """See that the old server does the work, and delete the new one."""
    assert now.new is not None
    final, temporary = now.final(), now.temporary()
    known_hosts.keep(final.known, final.address, final.port, hands.wait(final))
    hands.apply(final)
    hands.prove(final)
    known_hosts.forget(temporary.known, temporary.address, temporary.port)
    ended(now.new.delete())


BACK: dict[str, Callable[[Replacement, Doing], None]] = {
    "release": _back_release,
    "attach": _back_attach,
    "assign": _back_assign,
    "start": _back_start,
}
