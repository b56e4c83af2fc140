"""Patroni's dynamic configuration brought to what patroni.yml says, and PostgreSQL with it."""

import json
from collections.abc import Sequence
from time import sleep

from infisical_iac.cluster import patroni_config
from infisical_iac.cluster.patroni_config import Configuration
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script
from infisical_iac.facts.patroni import PatroniState, parse

# A standby may have to be restarted again once the primary has a lower value than it.
_ROUNDS = 2
# Patroni's own, where none is set.
_LOOP_WAIT = 10


def merged(found: PatroniState, wanted: Configuration) -> int:
    """Send to Patroni what differs.

    Returns the seconds after which each member knows whether its PostgreSQL has to be restarted
    for it, 0 where none has to be. Raises CommandFailed.
    """
    changes = patroni_config.patch(found, wanted)
    if changes:
        _do("configure", json.dumps(changes), doing="change Patroni's configuration")
    if "postgresql" not in changes:
        return 0
    # Each member looks once in so many seconds, by the old configuration or the new one.
    waits = [each.get("loop_wait") for each in (found.configuration or {}, wanted)]
    return 2 * max(wait if isinstance(wait, int) else _LOOP_WAIT for wait in waits)


def restarted(seconds: int, again: Sequence[str]) -> None:
    """Restart each PostgreSQL that takes a parameter only then, one after the other.

    The primary is the last, and stays the primary: nothing is written for the seconds that it is
    away. Raises CommandFailed.

    Args:
        seconds: after which it is known which ones those are.
        again: the arguments with which the script `cluster-stack` waits, after each restart, for
            all who keep data.
    """
    sleep(seconds)
    for _ in range(_ROUNDS):
        for name in parse(_do("patroni", doing="ask Patroni").splitlines()).waiting:
            _do("restart", name, doing=f"restart PostgreSQL, {name}")
            _do(*again, doing=f"see {name} back before the next one is restarted")


def _do(*step: str, doing: str) -> str:
    return run(script("cluster-stack", *step), doing=doing)
