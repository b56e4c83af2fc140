"""A server in the place of another: in which order, decided by what is there. Pure.

The volume has everything, so it moves: off the old server once that is stopped, onto the new one,
which is deployed to and proven at an address of its own. Only then do the addresses move, and only
when the new server is proven at those, the old one goes. A run that dies is taken up by the next.
"""

from dataclasses import dataclass
from typing import Literal

from infisical_iac.hetzner.failures import HetznerError

Stage = Literal[
    "make", "ready", "release", "attach", "prove", "unassign", "assign", "start", "retire", "rename"
]
Back = Literal["release", "attach", "assign", "start", "apply", "delete"]

TITLES: dict[Stage, str] = {
    "make": "make the new server, with addresses of its own for now",
    "ready": "wait for the new server, known by its host key",
    "release": "stop Infisical on the old server and detach the volume",
    "attach": "attach the volume to the new server",
    "prove": "deploy to the new server and see that Infisical is well there",
    "unassign": "turn the old server off and take its addresses",
    "assign": "give the addresses to the new server, which is off for that",
    "start": "start the new server",
    "retire": "see that Infisical is well at its address, and delete the old server",
    "rename": "give the new server the old one's name",
}


@dataclass(frozen=True)
class Place:
    """Where things are.

    Attributes:
        old: whether the old server is there; `new` the new one.
        ready: whether the new one is through with its first boot.
        proven: whether the new one was seen to do the work.
        volume: the server that has the volume.
        addresses: for each of the addresses, the server that has it.
        running: whether the new server runs; `old_running` the old one.
    """

    old: bool
    new: bool
    ready: bool
    proven: bool
    volume: Literal["old", "new", "none"]
    addresses: tuple[Literal["old", "new", "none"], ...]
    running: bool
    old_running: bool


def stage(place: Place) -> Stage:
    """What comes next. Raises HetznerError where there is nothing to replace."""
    if not place.new:
        if not place.old:
            raise HetznerError("there is no server to replace: `infisical-iac server create`")
        return "make"
    if not place.ready:
        return "ready"
    if place.volume != "new":
        return "release" if place.volume == "old" else "attach"
    if not place.proven:
        return "prove"
    if "old" in place.addresses:
        return "unassign"
    if "none" in place.addresses:
        return "assign"
    if not place.running:
        return "start"
    return "retire" if place.old else "rename"


def back(place: Place) -> Back:
    """What comes next on the way back. Raises HetznerError where there is none."""
    if not place.old:
        raise HetznerError("the old server is gone: there is nothing to go back to")
    if not place.new:
        raise HetznerError("no replacement is under way: there is nothing to undo")
    if "new" in place.addresses:
        raise HetznerError(
            "the new server has the addresses already: `infisical-iac server replace` goes on"
        )
    if place.volume != "old":
        return "release" if place.volume == "new" else "attach"
    if "none" in place.addresses:
        return "assign"
    return "apply" if place.old_running else "start"
