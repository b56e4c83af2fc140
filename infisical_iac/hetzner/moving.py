"""How far the replacement of a server has come."""

from dataclasses import dataclass
from typing import Literal, Protocol

from hcloud.primary_ips import BoundPrimaryIP
from hcloud.servers import BoundServer
from hcloud.volumes import BoundVolume

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.failures import HetznerError, told
from infisical_iac.hetzner.names import server_address
from infisical_iac.hetzner.ownership import REPLACES, labels, require, selector
from infisical_iac.hetzner.plan import Session, begun, is_ready
from infisical_iac.hetzner.remote import Login
from infisical_iac.hetzner.replacement import Place

# Upon a new server that was seen to do the work.
PROVEN = {"infisical-iac-proven": "yes"}


class Doing(Protocol):
    """What `hands.Hands` does on servers."""

    def check(self, login: Login) -> None: ...
    def release(self, login: Login) -> None: ...
    def look(self, login: Login) -> None: ...
    def wait(self, login: Login) -> str: ...
    def apply(self, login: Login) -> None: ...
    def prove(self, login: Login) -> None: ...


@dataclass
class Replacement:
    """A replacement as far as it has come: looked at anew for each stage.

    Attributes:
        temporary_addresses: those that the new server has until it gets the old one's, by `ipv4`
            and `ipv6`.
    """

    session: Session
    new: BoundServer | None
    timeout: float
    temporary_addresses: dict[str, BoundPrimaryIP]

    @property
    def old(self) -> BoundServer | None:
        """The server that is replaced."""
        return self.session.have.server

    @property
    def device(self) -> str:
        """Where the volume is on a server."""
        volume = self.session.have.volume
        return str(volume.linux_device) if volume else ""

    def place(self) -> Place:
        """Where things are."""
        have, new = self.session.have, self.new
        labels = (new.labels or {}) if new else {}
        return Place(
            old=self.old is not None,
            new=new is not None,
            ready=is_ready(labels),
            proven=PROVEN.items() <= labels.items(),
            volume=self._whose(_holder(have.volume)),
            addresses=tuple(self._whose(each.assignee_id) for each in have.addresses.values()),
            running=bool(new and new.status == "running"),
            old_running=bool(self.old and self.old.status == "running"),
        )

    def _whose(self, id: int | None) -> Literal["old", "new", "none"]:
        if self.old and id == self.old.id:
            return "old"
        return "new" if self.new and id == self.new.id else "none"

    def assign_to(self, server: BoundServer) -> None:
        """Give a server, which is off, each address that nobody has."""
        for each in self.session.have.addresses.values():
            if each.assignee_id is None:
                ended(each.assign(int(server.id or 0), "server"))

    def temporary(self) -> Login:
        """How to log in to the new server as long as it has no address but its own."""
        assert self.new is not None
        return self.session.login(server_address(self.new))

    def final(self) -> Login:
        """How to log in to whichever server has the address."""
        return self.session.login(self.session.have.address)


def _holder(volume: BoundVolume | None) -> int | None:
    return volume.server.id if volume and volume.server else None


def look(*, timeout: float) -> Replacement:
    """Look how far it has come. Raises a UserError for what can't be replaced."""
    session = begun().only
    if session.have.volume is None:
        raise HetznerError(
            f"{session.want.name} has no volume, so there is nothing that could move: back up, "
            "make a new server with one, and restore there"
        )
    if len(session.have.addresses) < len(session.want.versions):
        raise HetznerError(
            f"{session.want.name} is not complete: run `infisical-iac server create` first"
        )
    with told("look at the new server"):
        new, addresses = _replacement(session)
    return Replacement(session, new, timeout, addresses)


def next_name(session: Session) -> str:
    """Return the name of a server until it has that of the one that it replaces."""
    return f"{session.want.name}-next"


def replacement_labels(session: Session) -> dict[str, str]:
    """The labels of what belongs to the replacement of a server alone."""
    return {**labels(session.want.family), REPLACES: session.want.name}


def _replacement(session: Session) -> tuple[BoundServer | None, dict[str, BoundPrimaryIP]]:
    """Return the new server and its own addresses, known by both labels.

    Raises HetznerError for another server that has the new one's name.
    """
    client, want, name = session.have.client, session.want, next_name(session)
    both = selector(want.family, **{REPLACES: want.name})
    found = client.servers.get_all(label_selector=both)
    if len(found) > 1:
        names = ", ".join(sorted(str(each.name) for each in found))
        raise HetznerError(
            f"{len(found)} servers carry the label {REPLACES}={want.name} ({names}): take it off "
            "those in the console that are not to replace it"
        )
    if not found and (other := client.servers.get_by_name(name)):
        require(f"server {name}", other.labels, want.family)
        raise HetznerError(
            f"the server {name} has the name of a replacement and no label "
            f"{REPLACES}={want.name}, and is left alone: rename it in the console"
        )
    addresses = client.primary_ips.get_all(label_selector=both)
    return (found[0] if found else None), {str(each.type): each for each in addresses}
