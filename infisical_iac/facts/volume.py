"""The data volume, and what on the host keeps it in its places, read in one command."""

from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.core.rendering import script
from infisical_iac.facts.files import Paths, PathState
from infisical_iac.facts.units import Units, UnitState
from infisical_iac.host.volume import VolumeState

_NEXT = "next:"


@dataclass(frozen=True)
class DataVolume:
    """The volume, the files that were asked for by their paths, and units by their names."""

    volume: VolumeState = field(default_factory=VolumeState)
    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)


class Volume(FactBase[DataVolume]):
    """The DataVolume of a `device`, with `paths` and `units`."""

    def command(self, device: str, paths: list[str], units: list[str]) -> str:
        commands = (script("volume", "look", device), Paths().command(paths))
        return f" && echo {_NEXT} && ".join((*commands, Units().command(units, {})))

    def process(self, output: list[str]) -> DataVolume:
        first = output.index(_NEXT)
        second = output.index(_NEXT, first + 1)
        return DataVolume(
            parse(output[:first]),
            Paths().process(output[first + 1 : second]),
            Units().process(output[second + 1 :]),
        )

    @staticmethod
    def default() -> DataVolume:
        return DataVolume()


def parse(lines: list[str]) -> VolumeState:
    """Return what `volume.sh look` printed."""
    holds = uuid = mounted = ""
    bound, volumes, larger = [], [], None
    for line in lines:
        match line.split():
            case ["holds", *words]:
                holds = " ".join(words)
            case ["uuid", value]:
                uuid = value
            case ["mounted", value]:
                mounted = value
            case ["bound", place]:
                bound.append(place)
            case ["volume", name]:
                volumes.append(name)
            case ["larger", taken, there]:
                larger = int(taken), int(there)
    present = "absent" not in lines
    return VolumeState(present, holds, uuid, mounted, frozenset(bound), tuple(volumes), larger)
