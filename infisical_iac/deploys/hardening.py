"""The host made hard to get into, and the window in which it may be disturbed."""

from collections.abc import Iterator
from typing import Any

from pyinfra.api.deploy import deploy

from infisical_iac.core import units as systemd
from infisical_iac.core.files import File
from infisical_iac.core.rendering import script_file, template
from infisical_iac.core.settings import Settings
from infisical_iac.deploys.backup import SCRIPTS
from infisical_iac.host import hardening as host
from infisical_iac.host import kernel, ssh
from infisical_iac.host.engine import not_ours
from infisical_iac.host.machine import MachineState
from infisical_iac.host.preflight import Preflight
from infisical_iac.host.sshd_config import DROP_IN
from infisical_iac.operations import hardening as hosts
from infisical_iac.operations import maintenance

_JOURNAL = "/etc/systemd/journald.conf.d/90-infisical-iac.conf"
_RULES = "/etc/audit/rules.d/90-infisical-iac.rules"
_UNITS = (
    maintenance.TIMER,
    "infisical-maintenance.service",
    "infisical-maintenance-failed.service",
)


def configuration(settings: Settings) -> Iterator[File]:
    """The host's small files."""
    yield File("/etc/modprobe.d/infisical-iac.conf", kernel.modules())
    yield File("/etc/profile.d/infisical-iac.sh", host.SHELLS)
    yield File(_JOURNAL, host.JOURNAL)
    if settings.auditd == "on":
        yield File(_RULES, host.AUDIT_RULES, mode="640")


def without_window(settings: Settings, machine: MachineState) -> str:
    """Return why there is no maintenance window; empty if there is one."""
    if not settings.maintenance_window:
        return "setting 'maintenance_window' is empty"
    # A restart of the engine or of the host would stop what is not ours.
    return not_ours(settings, machine)


def programs(settings: Settings, turn: int | None) -> Iterator[File]:
    """Yield what the maintenance window runs; `turn` is this host's in its cluster, None without
    one.
    """
    for part in ("maintenance", "together", "apt"):
        yield File(f"{SCRIPTS}/{part}.sh", script_file(part))
    for unit in _UNITS:
        text = template(unit, settings=settings, script=f"{SCRIPTS}/maintenance.sh", turn=turn)
        yield File(f"{systemd.DIRECTORY}/{unit}", text)


@deploy("Hardening")
def hardening(known: Preflight) -> None:
    """Harden the host and its SSH server, then keep the maintenance window.

    It comes after all packages, for they bring directories whose modes it tightens.
    """
    settings = known.settings
    files, without = [*configuration(settings)], without_window(settings, known.machine)
    turn = known.cluster.turn if known.cluster else None
    parts = [] if without else [*programs(settings, turn)]
    units = {"systemd-journald.service": [_JOURNAL]}
    if settings.auditd == "on":
        units["auditd.service"] = []
    look: dict[str, Any] = {
        "paths": [
            *(file.path for file in [*files, *parts]),
            *host.MODES,
            DROP_IN,
            *(f"{systemd.DIRECTORY}/{unit}" for unit in _UNITS if not parts),
        ],
        "units": {**units, maintenance.TIMER: []},
        "schedule": settings.maintenance_window,
    }
    if settings.hardening == "on":
        hosts.hardened(
            configuration=files,
            units=units,
            rules=_RULES,
            look=look,
            name="Harden kernel modules, shells, journal and files' modes",
        )
        ssh.hardened(
            alone=not not_ours(settings, known.machine),
            look=look,
            name="Harden SSH",
        )
    maintenance.kept(
        programs=parts,
        without=without,
        look=look,
        name="Keep the window for Docker's upgrades and reboots",
    )
