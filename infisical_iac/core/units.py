"""Manage systemd units: enable and start them, and restart those with an older configuration."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence

from infisical_iac.agent.files import PathState
from infisical_iac.agent.system import UnitState
from infisical_iac.agent.system import units as unit_states
from infisical_iac.core import archive, files, journal
from infisical_iac.core.agent import Question, inspect, question
from infisical_iac.core.change import Change
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script_file, template
from infisical_iac.core.wording import join_names

# The directory of this project's programs on a host.
SCRIPTS = archive.DIRECTORY
DIRECTORY = "/etc/systemd/system"

_WORDS = {"enable": "enabled", "start": "started", "restart": "restarted, with its configuration"}


def unit_file(name: str, **values: object) -> File:
    """Return the file of a unit, rendered from the template with the unit's name."""
    return File(f"{DIRECTORY}/{name}", template(name, agent=agent_command, **values))


def agent_command(*arguments: object) -> str:
    """Return the command of a unit that runs a program of the agent (`agent/serving.py`).

    The name of the agent's file changes with its content, and there is one such file.
    """
    words = shlex.join(map(str, arguments))
    return f"/bin/sh -c 'set -- {SCRIPTS}/agent-*.pyz; exec python3 -IS \"$$1\" {words}'"


def program(name: str) -> File:
    """Return the script `<name>.sh` as a file on the host, for units that run it."""
    return File(f"{SCRIPTS}/{name}.sh", script_file(name))


def is_unit(file: File) -> bool:
    """Return whether systemd reads the file as a unit."""
    return file.path.startswith(f"{DIRECTORY}/")


def install(
    desired: Sequence[File], states: Mapping[str, PathState], units: Mapping[str, UnitState]
) -> Commands:
    """Write the files that differ, and have systemd read units that changed.

    Args:
        desired: the files of units, and of programs that they run.
        states: the actual state of each file, by its path.
        units: the actual state of each unit.
    """
    wrong = files.find_differing(desired, states)
    yield from files.rewrite(wrong, states)
    if any(map(is_unit, wrong)) or any(each.outdated for each in units.values()):
        yield step(run, "systemctl daemon-reload", doing="let systemd read changed units")


def question_for(
    units: Sequence[str], config: Mapping[str, Sequence[str]] = {}
) -> Question[dict[str, UnitState]]:
    """Return the question that `running` asks."""
    files = {unit: [*paths] for unit, paths in config.items()}
    return question(unit_states, names=[*units], config=files)


@planned_operation
def running(
    units: Sequence[str],
    *,
    config: Mapping[str, Sequence[str]] = {},
    packages: Mapping[str, Sequence[str]] = {},
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Enable and start units, and restart those that run with an older configuration.

    A unit that systemd skips because of its own conditions counts as running: systemd would skip it
    again.

    Args:
        config: the files that a unit reads at its start, by the unit.
        packages: the packages that enable and start a unit when one of them is installed, by the
            unit. While the plan installs one, the unit is not planned for.
        act: called with a command of systemctl, such as `restart`, and the unit; None for
            systemctl itself.

    Example:
        running(units=["docker.service"], config={"docker.service": ["/etc/docker/daemon.json"]},
                name="Keep Docker running")
    """
    states = inspect(question_for(units, config))
    changing = [unit for unit, paths in config.items() if journal.will_change(*paths)]
    installed = [
        unit
        for unit, names in packages.items()
        if journal.will_change(*(f"package {name}" for name in names))
    ]
    yield from decide(units, states, changing=changing, installed=installed, act=act)


def decide(
    units: Sequence[str],
    states: Mapping[str, UnitState],
    *,
    changing: Collection[str] = (),
    installed: Collection[str] = (),
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Decide what to do about units, as `bring_up` does; report if there is nothing to do.

    Args:
        installed: the units that a package of the plan starts.
    """
    own = [unit for unit in units if unit not in installed]
    decided = bring_up(own, states, changing=changing, act=act)
    yield from or_up_to_date(decided, f"{', '.join(units)} enabled and running")


def bring_up(
    units: Sequence[str],
    states: Mapping[str, UnitState],
    *,
    changing: Collection[str] = (),
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Yield the changes that `running` makes, given the states of the units.

    Args:
        changing: the units whose configuration the run changes first.
    """
    for unit in units:
        verbs = _due(states.get(unit), will_be_stale=unit in changing)
        if verbs:
            yield Change("~", unit, join_names(_WORDS[verb] for verb in verbs))
        for verb in verbs:
            yield step(act or systemctl, verb, unit)


def systemctl(verb: str, unit: str) -> None:
    """Run a command of systemctl, such as `restart`, for a unit of the current host."""
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
