"""systemd units: enabled, running, and with the configuration that is on disk."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra.context import host

from infisical_iac.core import files, journal
from infisical_iac.core.facts import Fact
from infisical_iac.core.files import File, PathState
from infisical_iac.core.item import Item
from infisical_iac.core.operation import Commands, or_up_to_date, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script_file, template


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it.

    `started` is when its main process started and `configured` when the newest of its
    configuration files was written, both in seconds since the epoch, 0.0 if never.
    `condition` is False where systemd itself skips the unit, as it does for time
    synchronization in a container. `outdated` tells that its files were changed since systemd read
    them.
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
        """Return whether it runs with an older configuration than the one on disk."""
        return self.active and self.configured > self.started


class Units(Fact[dict[str, UnitState]]):
    """The state of each of `units`; `config` maps a unit to the files it reads at start."""

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
        # A unit that was never started has not met its condition either.
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


# Where programs of this project are on a host.
SCRIPTS = "/usr/local/lib/infisical-iac"
DIRECTORY = "/etc/systemd/system"

_WORDS = {"enable": "enabled", "start": "started", "restart": "restarted, with its configuration"}


def unit_file(name: str, **values: object) -> File:
    """Return the file of a unit, of the template with its name."""
    return File(f"{DIRECTORY}/{name}", template(name, **values))


def program(name: str) -> File:
    """Return the script `<name>.sh` as a file that the host keeps for its units."""
    return File(f"{SCRIPTS}/{name}.sh", script_file(name))


def is_unit(file: File) -> bool:
    """Return whether a file is one that systemd reads as a unit."""
    return file.path.startswith(f"{DIRECTORY}/")


def install(
    wanted: Sequence[File], there: Mapping[str, PathState], units: Mapping[str, UnitState]
) -> Commands:
    """Write those of the `wanted` files that differ, and let systemd read units that changed."""
    wrong = files.find_differing(wanted, there)
    yield from files.rewrite(wrong, there)
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
    changing = [unit for unit, paths in config.items() if journal.will_change(*paths)]
    yield from decide(units, states, changing=changing, act=act)


def decide(
    units: Sequence[str],
    states: Mapping[str, UnitState],
    *,
    changing: Collection[str] = (),
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Decide what is to be done to units, by their states, as `bring_up` does."""
    decided = bring_up(units, states, changing=changing, act=act)
    yield from or_up_to_date(decided, f"{', '.join(units)} enabled and running")


def bring_up(
    units: Sequence[str],
    states: Mapping[str, UnitState],
    *,
    changing: Collection[str] = (),
    act: Callable[[str, str], object] | None = None,
) -> Commands:
    """Tell and do what `running` does, by the `states` of the units.

    Those that are `changing` are to read what the run writes.
    """
    for unit in units:
        verbs = _due(states.get(unit), will_be_stale=unit in changing)
        if verbs:
            yield Item("~", unit, " and ".join(_WORDS[verb] for verb in verbs))
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
