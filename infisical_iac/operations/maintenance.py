"""The window in which Docker is upgraded and the host may reboot."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from pyinfra.context import host

from infisical_iac.core import journal
from infisical_iac.core import units as systemd
from infisical_iac.core.errors import UserError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, shared, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.host.hardening_fact import Hardening, HardeningState

TIMER = "infisical-maintenance.timer"


class MaintenanceError(UserError):
    """The window can't be kept."""


@telling_operation
def kept(programs: Sequence[File], *, without: str, look: Mapping[str, object]) -> Commands:
    """Have the timer with its `programs` run; without any, take away what an earlier run made.

    Args:
        without: why there are no programs.
        look: the arguments of the fact `Hardening`.

    Raises MaintenanceError for a schedule that systemd does not understand.
    """
    there = shared(Hardening, **look)
    if not there.understood:
        raise MaintenanceError(
            f"setting 'maintenance_window': systemd does not understand {look['schedule']!r}; "
            "`systemd-analyze calendar` on the host tells more"
        )
    commands = [*(_running(programs, there) if programs else _removed(there, without))]
    if not commands:
        host.noop(without or "the maintenance window is kept as the settings say")
    yield from commands


def _running(programs: Sequence[File], there: HardeningState) -> Commands:
    timer = {name: state for name, state in there.units.items() if name == TIMER}
    yield from systemd.installed(programs, there.files, timer)
    yield from systemd.brought_up([TIMER], there.units)


def _removed(there: HardeningState, reason: str) -> Commands:
    units = [path for path in there.files if _is_unit(path)]
    if not units:
        return
    for path in units:
        journal.item("-", path, reason)
    names = shlex.join(PurePath(path).name for path in units)
    yield step(
        run,
        f"systemctl disable --quiet --now {TIMER}; rm -f {shlex.join(units)}; "
        f"systemctl daemon-reload; systemctl reset-failed {names} 2>/dev/null || true",
        doing="end the maintenance window",
    )


def _is_unit(path: str) -> bool:
    return PurePath(path).name.startswith("infisical-maintenance") and path.startswith(
        f"{systemd.DIRECTORY}/"
    )
