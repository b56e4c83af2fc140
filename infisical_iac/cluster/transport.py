"""Bring a running cluster to TLS, level by level, none of them ever left. Pure.

Each level works next to the one before and the one after it, so that the services of a cluster
can be rolled out one after the other while it serves.
"""

from enum import IntEnum

from infisical_iac.cluster.stack_state import ClusterStackState
from infisical_iac.core.item import Item


class Level(IntEnum):
    """The progress of a service to TLS, which is the value of its label `infisical.tls`.

    PLAIN is a service that was rolled out by a version without TLS. With OFFERED, servers take TLS
    too; with USED, clients ask for it; with REQUIRED, servers take nothing else.
    """

    PLAIN = 0
    OFFERED = 1
    USED = 2
    REQUIRED = 3


# What has no part in it: Caddy speaks to HAProxy of its own host alone.
_APART = frozenset({"caddy"})
_TOGETHER = ("redis-", "sentinel-")


def reached(found: ClusterStackState) -> Level:
    """Return the level of the service that is the least far; REQUIRED where there are none."""
    levels = [each.tls for name, each in found.services.items() if name not in _APART]
    return Level(min(levels, default=Level.REQUIRED))


def ahead(found: ClusterStackState) -> tuple[Level, ...]:
    """Return the levels that a roll-out goes through, the last of which is REQUIRED."""
    return tuple(each for each in Level if each > reached(found)) or (Level.REQUIRED,)


def at_once(found: ClusterStackState, level: Level) -> frozenset[str]:
    """Return the services that have to change together to come to a level.

    Redis servers and their sentinels speak TLS to each other or don't: one that is alone in it
    would be taken for down by the others, and the others by it.
    """
    if level < Level.REQUIRED or reached(found) == Level.REQUIRED:
        return frozenset()
    return frozenset(name for name in found.services if name.startswith(_TOGETHER))


def item(found: ClusterStackState) -> Item | None:
    """Return what a plan says of the way ahead; None where all services require TLS."""
    if reached(found) == Level.REQUIRED:
        return None
    rolls = len(ahead(found))
    how = f"in {rolls} roll-outs" if rolls > 1 else "in the last roll-out of it"
    detail = f"{reached(found).name.lower()} → required, {how}; requests wait while Redis restarts"
    return Item("~", "TLS of PostgreSQL, Redis and etcd", detail)
