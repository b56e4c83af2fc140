"""Manage systemd units: enable and start them, and restart those with an older configuration."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra.context import host

from infisical_iac.core import files, journal
from infisical_iac.core.change import Change
from infisical_iac.core.files import File, PathState
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import Fact, run
from infisical_iac.core.rendering import script_file, template
from infisical_iac.core.wording import join_names


@dataclass(frozen=True)
class UnitState:
    """The state of a unit.

    Attributes:
        condition: False if systemd skips the unit because of its own conditions, such as time
            synchronization in a container.
        outdated: whether its unit files were changed since systemd read them.
        started: the time when its main process started, in seconds since the epoch; 0.0 for never.
        configured: the time when the newest of its configuration files was written, likewise.
    """

    loaded: bool
    active: bool
    enabled: bool
    condition: bool = True
    outdated: bool = False
    started: float = 0.0
    configured: float = 0.0

    @property
    def stale(self) -> bool:
        """True if the unit runs with an older configuration than the one on disk."""
        return self.active and self.configured > self.started


class Units(Fact[dict[str, UnitState]]):
    """The state of each of `units`; `config` maps a unit to the files that it reads at start."""

    def command(self, units: list[str], config: dict[str, list[str]]) -> str:
        properties = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload"
        properties += ",ConditionResult,ConditionTimestamp,ExecMainStartTimestamp"
        written = "".join(
            f"stat --format='Written={unit} %.Y' -- {shlex.join(paths)} 2>/dev/null; "
            for unit, paths in config.items()
        )
        return (
            f"TZ=UTC systemctl show --timestamp=us --property={properties} {shlex.join(units)}; "
            f"{written}true"
        )

    def process(self, output: list[str]) -> dict[str, UnitState]:
        written: dict[str, float] = {}
        blocks: list[dict[str, str]] = [{}]
        for line in output:
            key, _, value = line.partition("=")
            if key == "Written":
                unit, _, seconds = value.partition(" ")
                written[unit] = max(written.get(unit, 0.0), float(seconds))
            elif not line:
                blocks.append({})
            else:
                blocks[-1][key] = value
        return {
            block["Id"]: _unit(block, written.get(block["Id"], 0.0))
            for block in blocks
            if "Id" in block
        }


def _unit(block: dict[str, str], configured: float) -> UnitState:
    return UnitState(
        loaded=block.get("LoadState") == "loaded",
        active=block.get("ActiveState") == "active",
        enabled=block.get("UnitFileState") in ("enabled", "static"),
        # systemd reports "no" also for a unit that was never started.
        condition=block.get("ConditionResult") != "no" or not block.get("ConditionTimestamp"),
        outdated=block.get("NeedDaemonReload") == "yes",
        started=_seconds(block.get("ExecMainStartTimestamp", "")),
        configured=configured,
    )


def _seconds(timestamp: str) -> float:
    if not timestamp or timestamp == "n/a":
        return 0.0
    moment = datetime.strptime(timestamp, "%a %Y-%m-%d %H:%M:%S.%f UTC")
    return moment.replace(tzinfo=UTC).timestamp()


# The directory of this project's programs on a host.
SCRIPTS = "/usr/local/lib/infisical-iac"
DIRECTORY = "/etc/systemd/system"

_WORDS = {"enable": "enabled", "start": "started", "restart": "restarted, with its configuration"}


def unit_file(name: str, **values: object) -> File:
    """Return the file of a unit, rendered from the template with the unit's name."""
    return File(f"{DIRECTORY}/{name}", template(name, **values))


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
    states = host.get_fact(
        Units, units=list(units), config={unit: list(paths) for unit, paths in config.items()}
    )
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
        changing: the units whose configuration the run changes before.
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
