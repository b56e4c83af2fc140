"""A new server in the place of a cluster's node, whose data the other nodes have.

Its addresses stay and its volume is set aside; `apply` brings the new server into the cluster. What
has been done is known by what is there, so a run that dies is taken up by the next.
"""

import time
from collections.abc import Iterator
from typing import Protocol

from hcloud.servers import BoundServer

from infisical_iac.hetzner.api import ended
from infisical_iac.hetzner.change import Change, change
from infisical_iac.hetzner.failures import HetznerError
from infisical_iac.hetzner.others import has_told_of_data, lacking
from infisical_iac.hetzner.plan import LEAVING, Everything, Session, is_ready
from infisical_iac.hetzner.remote import Login
from infisical_iac.hetzner.volumes import aside, put_aside

_LOOKS, _PAUSE_SECONDS = 30, 2.0


class Doing(Protocol):
    """What `hands.Hands` does on nodes."""

    def others(self, login: Login) -> str: ...
    def stop(self, login: Login) -> None: ...


def node_of(found: Everything, name: str | None) -> Session:
    """The node that is meant. Raises HetznerError for none."""
    names = [each.want.name for each in found.nodes]
    if name not in names:
        raise HetznerError(
            f"{name or 'no node'} is none of the cluster's: say which one is replaced, of "
            f"{', '.join(names)}"
        )
    return next(each for each in found.nodes if each.want.name == name)


def unfinished(node: Session) -> bool:
    """Whether the old server is gone, and the new one to be completed."""
    server = node.have.server
    return server is None or not (node.is_leaving or is_ready(server.labels))


def pointless(node: Session) -> bool:
    """Whether no replacement is under way and none would change anything."""
    server, want = node.have.server, node.want
    if server is None or node.is_leaving or unfinished(node):
        return False
    there = (server.server_type and server.server_type.name, server.image and server.image.name)
    return there in ((want.type, want.image), (want.type, None))


def check(found: Everything, node: Session, hands: Doing) -> None:
    """See that the others can do without it. Raises HetznerError if they can't, or can't tell."""
    if node.is_leaving or node.have.server is None:
        return
    others = [each for each in found.nodes if each is not node and each.alive()]
    if not others:
        raise HetznerError(
            "no other node lets in, so nobody can tell whether the cluster does without "
            f"{node.want.name}: nothing was done"
        )
    tellings = [hands.others(each.login(each.have.address)) for each in others]
    told = next(filter(has_told_of_data, tellings), tellings[0])
    if reason := lacking(told, node.want.name):
        raise HetznerError(
            f"the cluster can't do without {node.want.name}: {reason}; nothing was done"
        )


def removals(node: Session, hands: Doing) -> Iterator[Change]:
    """What takes the old server away; what is needed of it is on the others and set aside."""
    want, server, volume = node.want, node.have.server, node.have.volume
    balancer = node.have.common.balancer
    what = f"server {want.name}"
    if server is None:
        return
    if not node.is_leaving:
        labels = {**(server.labels or {}), **LEAVING}
        yield change("~", what, "marked as leaving", lambda: _keep(node, server, labels))
    for target in (balancer.targets or []) if balancer else ():
        if target.server and target.server.id == server.id:
            yield change(
                "~",
                f"Load Balancer {want.family}",
                f"sends nothing to {want.name} any more",
                lambda target=target: ended(balancer.remove_target(target)),  # type: ignore[misc, union-attr]
            )
    if server.status != "off":
        yield change("~", what, "stopped and turned off", lambda: _turn_off(node, server, hands))
    if volume is not None:
        detail = f"set aside as {aside(want, volume)}"
        yield change("~", f"volume {volume.name}", detail, lambda: put_aside(want, volume))
    yield change("-", what, "", lambda: ended(server.delete()))


def _keep(node: Session, server: BoundServer, labels: dict[str, str]) -> None:
    node.have.server = server.update(labels=labels)


def _turn_off(node: Session, server: BoundServer, hands: Doing) -> None:
    if node.alive():
        # A primary hands over in seconds when it is asked to end, in a minute when it is gone.
        hands.stop(node.login(node.have.address))
    ended(server.shutdown())
    for _ in range(_LOOKS):
        server.reload()
        if server.status == "off":
            return
        time.sleep(_PAUSE_SECONDS)
    ended(server.power_off())
