"""Decide which hosts get the lead's state, under which number. Pure.

A state has a number, the serial, that grows with each change that is shared, so that of two hosts
with different states it is known which has the newer one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from infisical_iac.facts.swarm_state import SwarmState


@dataclass(frozen=True)
class Sharing:
    """The serial of the lead's state from now on, and who is to get it."""

    serial: int
    to: tuple[str, ...]


def claim(lead: SwarmState, others: Mapping[str, SwarmState]) -> int:
    """The serial by which the lead leads.

    It is a higher one than any other host's where the host did not lead before: whoever did may
    come back with a state of its own, under the serial that both had.
    """
    if lead.serial and lead.led == lead.serial and not _above(lead, others):
        return lead.serial
    return _next(lead, others)


def sharing(lead: SwarmState, others: Mapping[str, SwarmState]) -> Sharing:
    """Whom the lead's state goes to.

    All get it, with a higher serial, where one that has the lead's serial has another state: the
    lead's has changed, or that host's was meddled with. Else those get it that have none or an
    older one.
    """
    if not lead.digest:
        return Sharing(lead.serial, ())
    serial = claim(lead, others)
    changed = any(each.serial == serial and each.digest != lead.digest for each in others.values())
    if changed:
        serial = _next(lead, others)
    to = [
        name for name, each in others.items() if (each.serial, each.digest) != (serial, lead.digest)
    ]
    return Sharing(serial, tuple(to))


def _above(lead: SwarmState, others: Mapping[str, SwarmState]) -> bool:
    return any(each.serial > lead.serial for each in others.values())


def _next(lead: SwarmState, others: Mapping[str, SwarmState]) -> int:
    return max(lead.serial, *(each.serial for each in others.values()), 0) + 1
