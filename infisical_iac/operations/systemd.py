"""systemd units: enabled, running, and with the configuration that is on disk."""

import shlex
from collections.abc import Mapping, Sequence

from pyinfra.context import host

from infisical_iac.facts.units import Units, UnitState
from infisical_iac.operations import journal
from infisical_iac.operations.remote import run
from infisical_iac.operations.telling import Commands, step, telling_operation

_WORDS = {"enable": "enabled", "start": "started", "restart": "restarted, with its configuration"}


@telling_operation
def running(units: Sequence[str], *, config: Mapping[str, Sequence[str]] = {}) -> Commands:
    """Enable and start `units`; restart those whose files in `config` are newer than they.

    A unit whose own condition is not met, such as a clock service in a container, counts as
    settled: systemd would skip it again.
    """
    states = host.get_fact(
        Units, units=list(units), config={unit: list(paths) for unit, paths in config.items()}
    )
    settled = True
    for unit in units:
        verbs = _due(states.get(unit), will_be_stale=journal.will_change(*config.get(unit, ())))
        if verbs:
            settled = False
            journal.item("~", unit, " and ".join(_WORDS[verb] for verb in verbs))
        for verb in verbs:
            yield step(run, f"systemctl {verb} {shlex.quote(unit)}", doing=f"{verb} {unit}")
    if settled:
        host.noop(f"{', '.join(units)} enabled and running")


def _due(state: UnitState | None, *, will_be_stale: bool) -> list[str]:
    due = []
    if state is None or not state.enabled:
        due.append("enable")
    if state is None or (not state.active and state.condition):
        due.append("start")
    elif state.stale or (state.active and will_be_stale):
        due.append("restart")
    return due
