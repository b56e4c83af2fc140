"""The state of systemd units, and whether their configuration is newer than they are."""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra.api.facts import FactBase


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


class Units(FactBase[dict[str, UnitState]]):
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

    @staticmethod
    def default() -> dict[str, UnitState]:
        return {}


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
