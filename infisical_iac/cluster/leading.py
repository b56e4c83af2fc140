"""Decide which host of a cluster leads, and whether that is still to be seen. Pure."""

from collections.abc import Mapping, Sequence

from infisical_iac.cluster.settings import DATA_NODES
from infisical_iac.facts.swarm_state import SwarmState


def choose(names: Sequence[str], looks: Mapping[str, SwarmState]) -> str:
    """The working manager with the newest state; of equals the one that led, then the first."""

    def rank(name: str) -> tuple[bool, bool, int, bool, bool]:
        look = looks[name]
        # What a host that was alone has would otherwise be lost to one that has nothing.
        keeps = bool(look.key)
        return (
            look.control,
            look.state in ("active", "locked"),
            look.serial,
            look.led == look.serial > 0,
            keeps,
        )

    return max(names, key=rank)


def settling(looks: Mapping[str, SwarmState]) -> bool:
    """Return whether managers are about to find together, so that in a moment more will be known.

    That is so where most of those that there must be can be reached, and the one that would lead
    has no majority behind it, or an older state than one that is not with them yet.
    """
    known = [name for name, look in looks.items() if look.mark not in ("", "new")]
    if len(known) * 2 <= DATA_NODES or not any(_looking(looks[name]) for name in known):
        return False
    lead = choose(known, looks)
    return not looks[lead].control or bool(newer(known, looks, lead))


def newer(names: Sequence[str], looks: Mapping[str, SwarmState], lead: str) -> list[str]:
    """Managers of the lead's swarm with a newer state, which look for the others."""
    managers = {each.id for each in looks[lead].members if each.manager}
    return [
        name
        for name in names
        if _looking(looks[name])
        and looks[name].id in managers
        and looks[name].serial > looks[lead].serial
    ]


def _looking(look: SwarmState) -> bool:
    """Return whether an engine is in a swarm, and may find its managers by itself."""
    return look.state in ("active", "pending") and look.serial > 0 and not look.control
