"""systemd units: enabled, running, and with the configuration that is on disk."""

import shlex
from collections.abc import Callable, Mapping, Sequence

from pyinfra.context import host

from infisical_iac.core import files, journal
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.facts.files import PathState
from infisical_iac.facts.units import Units, UnitState

DIRECTORY = "/etc/systemd/system"

_WORDS = {"enable": "enabled", "start": "started", "restart": "restarted, with its configuration"}


def is_unit(file: File) -> bool:
    """Return whether a file is one that systemd reads as a unit."""
    return file.path.startswith(f"{DIRECTORY}/")


def installed(
    wanted: Sequence[File], there: Mapping[str, PathState], units: Mapping[str, UnitState]
) -> Commands:
    """Write those of the `wanted` files that differ, and let systemd read units that changed.

    Args:
        there: what is at the paths of the files.
        units: whose files may have been changed by somebody else.
    """
    wrong = files.differing(wanted, there)
    yield from files.written(wrong, there)
    if any(map(is_unit, wrong)) or any(each.outdated for each in units.values()):
        yield step(run, "systemctl daemon-reload", doing="let systemd read changed units")


@telling_operation
def running(
    units: Sequence[str],
    *,
    config: Mapping[str, Sequence[str]] = {},
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Enable and start `units`; restart those whose files in `config` are newer than they.

    A unit whose own condition is not met, such as a clock service in a container, counts as
    settled: systemd would skip it again. `act` does it, called with what systemctl is to do, such
    as `restart`, and the unit; None for systemctl itself.
    """
    states = host.get_fact(
        Units, units=list(units), config={unit: list(paths) for unit, paths in config.items()}
    )
    commands = [*brought_up(units, states, config=config, act=act)]
    if not commands:
        host.noop(f"{', '.join(units)} enabled and running")
    yield from commands


def brought_up(
    units: Sequence[str],
    states: Mapping[str, UnitState],
    *,
    config: Mapping[str, Sequence[str]] = {},
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Tell and do what `running` does, by the `states` of the units."""
    for unit in units:
        verbs = _due(states.get(unit), will_be_stale=journal.will_change(*config.get(unit, ())))
        if verbs:
            journal.item("~", unit, " and ".join(_WORDS[verb] for verb in verbs))
        for verb in verbs:
            yield step(act or systemctl, verb, unit)


def systemctl(verb: str, unit: str) -> None:
    """Have systemd do something to a unit of the current host."""
    run(f"systemctl {verb} {shlex.quote(unit)}", doing=f"{verb} {unit}")


def _due(state: UnitState | None, *, will_be_stale: bool) -> list[str]:
    due = []
    if state is None or not state.enabled:
        due.append("enable")
    if state is None or (not state.active and state.condition):
        due.append("start")
    elif state.stale or (state.active and will_be_stale):
        due.append("restart")
    return due
