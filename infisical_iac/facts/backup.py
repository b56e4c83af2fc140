"""Read what the host has for its backups, read in one command."""

import shlex
from dataclasses import dataclass, field

from pyinfra.api.facts import FactBase

from infisical_iac.backup.target import DIRECTORY
from infisical_iac.facts.files import Paths, PathState, reading
from infisical_iac.facts.units import Units, UnitState

_PRIVATE = f"{DIRECTORY}/*.env {DIRECTORY}/ssh_key {DIRECTORY}/webhook"
_UNITS = "units:"
_NO_SCHEDULE = "no schedule "


@dataclass(frozen=True)
class BackupState:
    """Hold what is there for backups.

    Attributes:
        private: what targets log in with and the webhook's address, by path; never their texts.
        files: the configuration that was asked for, by path.
        units: by name.
        no_schedules: those of the schedules that systemd does not understand; all, without systemd.
    """

    private: dict[str, PathState] = field(default_factory=dict)
    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    no_schedules: tuple[str, ...] = ()


class Backup(FactBase[BackupState]):
    """The BackupState, of configuration at `paths` and of `units`, beside wanted `schedules`."""

    def command(self, schedules: list[str], paths: list[str], units: list[str]) -> str:
        files = reading(f"{_PRIVATE} {shlex.join(paths)}")
        return (
            f"for each in {shlex.join(schedules)}; do "
            'systemd-analyze calendar "$each" >/dev/null 2>&1 || '
            f'echo "{_NO_SCHEDULE}$each"; done; {files}; '
            f"echo {_UNITS}; {Units().command(units, {})}"
        )

    def process(self, output: list[str]) -> BackupState:
        at = output.index(_UNITS)
        refused = [line for line in output[:at] if line.startswith(_NO_SCHEDULE)]
        found = Paths().process([line for line in output[:at] if line not in refused])
        private = {path: state for path, state in found.items() if _is_private(path)}
        return BackupState(
            private,
            {path: state for path, state in found.items() if path not in private},
            Units().process(output[at + 1 :]),
            tuple(line.removeprefix(_NO_SCHEDULE) for line in refused),
        )

    @staticmethod
    def default() -> BackupState:
        return BackupState()


def _is_private(path: str) -> bool:
    name = path.removeprefix(f"{DIRECTORY}/")
    return name in ("ssh_key", "webhook") or ("/" not in name and name.endswith(".env"))
