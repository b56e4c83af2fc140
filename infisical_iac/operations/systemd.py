"""systemd units: enabled, running, and with the configuration that is on disk."""

from collections.abc import Mapping, Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.context import host

from infisical_iac.facts.units import Units
from infisical_iac.operations.telling import Commands, telling_operation


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
        state = states.get(unit)
        verbs = []
        if state is None or not state.enabled:
            verbs.append("enable")
        if state is None or (not state.active and state.condition):
            verbs.append("start")
        elif state.stale:
            verbs.append("restart")
        for verb in verbs:
            settled = False
            yield StringCommand("systemctl", verb, QuoteString(unit))
    if settled:
        host.noop(f"{', '.join(units)} enabled and running")
