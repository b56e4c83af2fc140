"""Harden the host: sshd, file modes and small files; and configure the maintenance window.

Kernel parameters and modules are in `kernel`.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import PurePath
from typing import Any

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.agent import system
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.core import files
from infisical_iac.core import units as systemd
from infisical_iac.core.agent import Question, command_question, inspect, question, together
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.connection import try_change
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import run, write
from infisical_iac.core.settings import Settings
from infisical_iac.host import kernel, sshd_config
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import not_ours
from infisical_iac.host.site import Known
from infisical_iac.host.sshd_config import DROP_IN, QUERIES, READ_LINES, Sshd

# An sshd that systemd starts for each connection reads its files each time, and is never stale.
_READ_SSHD = f"""
export LC_ALL=C TZ=UTC
command -v sshd >/dev/null && echo sshd && sshd -T 2>/dev/null | sed 's/^/option /'
! command -v sshd >/dev/null || sshd -t 2>&1 | sed -n '1s/^/error /p'
{READ_LINES}
for kind in {" ".join(QUERIES)}; do ssh -Q $kind 2>/dev/null | sed "s/^/$kind /"; done
read=$(systemctl show --timestamp=us --property=StateChangeTimestamp --value ssh.service)
if [ "$(systemctl is-active ssh.service)" = active ] && [ -e {DROP_IN} ] &&
    [ "$(stat --format=%.6Y {DROP_IN} | tr -d .)" -gt "$(date --date "$read" +%s%6N)" ]
then echo stale; fi
for user in root ${{SUDO_USER-}}; do
    test ! -s "$(getent passwd "$user" | cut -d : -f 6)/.ssh/authorized_keys" || echo authorized
done
true
"""


@dataclass(frozen=True)
class HardeningState:
    """The files by path, the units by name, and sshd.

    Attributes:
        understood: whether systemd understands the schedule of the maintenance window.
    """

    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    sshd: Sshd = field(default_factory=Sshd)
    understood: bool = True


def hardening_question(
    *, paths: Sequence[str], units: Mapping[str, Sequence[str]], schedule: str
) -> Question[HardeningState]:
    """Return the question for the HardeningState.

    Args:
        paths: of the files to read.
        units: the units to read, each with the files that it reads at its start.
        schedule: of the maintenance window; may be empty.
    """
    return together(
        lambda found, of_units, refused, sshd: HardeningState(found, of_units, sshd, not refused),
        question(states, paths=[*paths]),
        systemd.question_for([*units], units),
        question(system.refused_schedules, schedules=[schedule] if schedule else []),
        command_question(_READ_SSHD, sshd_config.parse),
    )


@planned_operation
def ssh_server(*, is_sole_manager: bool, arguments: Mapping[str, Any]) -> Commands:
    """Have sshd accept only keys and modern algorithms, and forward only to the host itself.

    Root can't log in if another user deploys. Raises Refused if this run logged in without a key,
    or if another file of sshd's overrules ours.

    Args:
        is_sole_manager: whether only this project manages the host; otherwise root may still log
            in by a key if that was allowed before.
        arguments: the arguments of `hardening_question`.
    """
    there, by_sudo = inspect(hardening_question(**arguments)), bool(host.data.get("_sudo"))
    yield from decide_sshd(
        there, method=_method(host.connector), by_sudo=by_sudo, is_sole_manager=is_sole_manager
    )


def decide_sshd(
    there: HardeningState, *, method: str, by_sudo: bool, is_sole_manager: bool
) -> Commands:
    """Decide how to change sshd, by the actual state `there` and this run's login.

    The arguments are those of `root_may_log_in`. Raises Refused as `ssh_server` does.
    """
    if not there.sshd.there:
        yield UpToDate("OpenSSH's server is not installed")
        return
    root_logs_in = root_may_log_in(
        there.sshd.options.get("permitrootlogin", ""),
        method=method,
        by_sudo=by_sudo,
        is_sole_manager=is_sole_manager,
    )
    options = sshd_config.desired_options(there.sshd.supported, root_logs_in=root_logs_in)
    file = File(DROP_IN, sshd_config.drop_in(options))
    before = there.files.get(DROP_IN)
    if file.matches(before):
        sshd_config.refuse_overruled(options, there.sshd)
        if not there.sshd.stale:
            yield UpToDate("sshd is hardened")
            return
        yield Change("~", "sshd", "reads its configuration again")
    else:
        sshd_config.refuse_earlier(options, there.sshd)
        yield files.difference(file, before)
    sshd_config.refuse_without_key(method, authorized=there.sshd.authorized)
    yield step(_change, file, options, before)


def root_may_log_in(permitted: str, *, method: str, by_sudo: bool, is_sole_manager: bool) -> bool:
    """Return whether root may log in by a key.

    Args:
        permitted: the actual value of PermitRootLogin.
        method: the authentication method of this run; empty on the machine itself.
        by_sudo: whether another user than root deploys.
        is_sole_manager: whether only this project manages the host.
    """
    # A local run as root says nothing about logins from elsewhere, so they stay as they are. And a
    # Dokploy with several servers logs in to them as root.
    return not by_sudo if method and is_sole_manager else permitted != "no"


def _method(connector: Any) -> str:
    """Return this run's authentication method, as RFC 4252 names it; empty without SSH."""
    client = getattr(connector, "client", None)
    transport = client.get_transport() if client else None
    return str(transport.auth_handler.auth_method) if transport else ""


def _change(file: File, options: Mapping[str, str], before: PathState | None) -> None:
    text = None
    if before:
        # The output of `run` lacks the last line break.
        text = run(f"cat {DROP_IN}", doing=f"read {DROP_IN}") + "\n"
    try_change("sshd", lambda: _make(file, options), back=sshd_config.rollback_commands(text))


def _make(file: File, options: Mapping[str, str]) -> None:
    write(file.path, file.content, mode=file.mode)
    run("sshd -t", doing="check sshd's configuration")
    printed = run(
        f"sshd -T | sed 's/^/option /'; {sshd_config.READ_LINES}",
        doing="read sshd's effective options",
    )
    sshd_config.refuse_overruled(options, sshd_config.parse(printed.splitlines()))
    run(sshd_config.RESTART, doing="restart sshd with its configuration")


# Only root may read what cron runs and who may become root.
MODES = {
    "/etc/crontab": "600",
    "/etc/cron.d": "700",
    "/etc/cron.hourly": "700",
    "/etc/cron.daily": "700",
    "/etc/cron.weekly": "700",
    "/etc/cron.monthly": "700",
    "/etc/ssh/sshd_config": "600",
    "/etc/sudoers.d": "750",
}

# A shell ends after half an hour without input, and others can't read new files.
SHELLS = """\
umask 027
TMOUT=1800
readonly TMOUT
export TMOUT
"""

JOURNAL = """\
[Journal]
Storage=persistent
SystemMaxUse=1G
MaxRetentionSec=6month
"""

AUDIT_RULES = """\
# Written by infisical-iac; a change made here is undone by the next run.
-w /etc/infisical/ -p wa -k infisical
-w /etc/docker/ -p wa -k docker
-w /etc/ssh/ -p wa -k ssh
-w /root/.ssh/ -p wa -k ssh
-w /etc/passwd -p wa -k identity
-w /etc/shadow -p wa -k identity
-w /etc/group -p wa -k identity
-w /etc/sudoers -p wa -k rights
-w /etc/sudoers.d/ -p wa -k rights
-w /etc/systemd/system/ -p wa -k units
-w /var/log/infisical-iac/ -p wa -k audit
"""


def find_loose_modes(states: Mapping[str, PathState]) -> dict[str, str]:
    """Return the paths of MODES that allow more than they should, with the mode to set."""
    return {
        path: f"{int(states[path].mode, 8) & ~_surplus(states[path].mode, mode):o}"
        for path, mode in MODES.items()
        if path in states and _surplus(states[path].mode, mode)
    }


def _surplus(mode: str, most: str) -> int:
    return int(mode, 8) & 0o777 & ~int(most, 8)


@planned_operation
def host_files(
    configuration: Sequence[File],
    *,
    units: Mapping[str, Sequence[str]],
    rules: str,
    arguments: Mapping[str, Any],
) -> Commands:
    """Write the files of `configuration`, and tighten the modes of files in MODES.

    Args:
        units: the units that must have read some of the files, each with these files' paths.
        rules: the path of auditd's rules, which the kernel takes without a restart; or empty.
        arguments: the arguments of `hardening_question`.
    """
    there = inspect(hardening_question(**arguments))
    yield from decide_files(configuration, there, units=units, rules=rules)


def decide_files(
    configuration: Sequence[File],
    there: HardeningState,
    *,
    units: Mapping[str, Sequence[str]],
    rules: str,
) -> Commands:
    """Decide which files to write or tighten, by their actual state `there`."""
    wrong = files.find_differing(configuration, there.files)
    open_ = find_loose_modes(there.files)
    written = {file.path for file in wrong}
    # A unit must also read the files that are about to be written.
    states = {
        unit: replace(state, configured=inf) if written & {*units.get(unit, ())} else state
        for unit, state in there.units.items()
    }
    yield from files.rewrite(wrong, there.files)
    brought_up = [*systemd.bring_up([*units], states)]
    yield from brought_up
    for path, mode in open_.items():
        yield Change("~", path, f"mode {there.files[path].mode} → {mode}")
        yield step(run, f"chmod {mode} {shlex.quote(path)}", doing=f"tighten {path}")
    if rules in written:
        yield step(run, "augenrules --load", doing="load the rules of auditd")
    if not (wrong or brought_up or open_):
        yield UpToDate("the host is hardened")


TIMER = "infisical-maintenance.timer"


@planned_operation
def maintenance_window(
    programs: Sequence[File], *, without: str, arguments: Mapping[str, Any]
) -> Commands:
    """Install `programs` and start the timer; without programs, remove the timer.

    Raises SettingsError for a schedule that systemd does not understand.

    Args:
        without: why there are no programs.
        arguments: the arguments of `hardening_question`.
    """
    there = inspect(hardening_question(**arguments))
    yield from decide_window(programs, there, without=without, schedule=str(arguments["schedule"]))


def decide_window(
    programs: Sequence[File], there: HardeningState, *, without: str, schedule: str
) -> Commands:
    """Decide how to change the maintenance window, by the actual state `there`.

    Raises as `maintenance_window` does.
    """
    if not there.understood:
        raise SettingsError(
            f"setting 'maintenance_window': systemd does not understand {schedule!r}; "
            "`systemd-analyze calendar` on the host says why"
        )
    yield from or_up_to_date(
        _install_window(programs, there) if programs else _remove_window(there, without),
        without or "the maintenance window is scheduled as the settings say",
    )


def _install_window(programs: Sequence[File], there: HardeningState) -> Commands:
    timer = {name: state for name, state in there.units.items() if name == TIMER}
    yield from systemd.install(programs, there.files, timer)
    yield from systemd.bring_up([TIMER], there.units)
    if _FORMER in there.files:
        yield Change("-", _FORMER, "the agent installs packages")
        yield step(run, f"rm -f {_FORMER}", doing=f"remove {_FORMER}")


def _remove_window(there: HardeningState, reason: str) -> Commands:
    units = [path for path in there.files if path in _WINDOW_PATHS]
    if not units:
        return
    for path in units:
        yield Change("-", path, reason)
    names = shlex.join(PurePath(path).name for path in units)
    yield step(
        run,
        f"systemctl disable --quiet --now {TIMER}; rm -f {shlex.join(units)}; "
        f"systemctl daemon-reload; systemctl reset-failed {names} 2>/dev/null || true",
        doing="end the maintenance window",
    )


_JOURNAL = "/etc/systemd/journald.conf.d/90-infisical-iac.conf"
_RULES = "/etc/audit/rules.d/90-infisical-iac.rules"
_WINDOW_UNITS = (
    TIMER,
    "infisical-maintenance.service",
    "infisical-maintenance-failed.service",
)
_WINDOW_PATHS = [f"{systemd.DIRECTORY}/{unit}" for unit in _WINDOW_UNITS]
# A program of earlier versions.
_FORMER = f"{systemd.SCRIPTS}/apt.sh"


def configuration(settings: Settings) -> Iterator[File]:
    """Yield the desired configuration files of the hardening."""
    yield File("/etc/modprobe.d/infisical-iac.conf", kernel.modules())
    yield File("/etc/profile.d/infisical-iac.sh", SHELLS)
    yield File(_JOURNAL, JOURNAL)
    if settings.host.auditd == "on":
        yield File(_RULES, AUDIT_RULES, mode="640")


def without_window(settings: Settings, machine: MachineState) -> str:
    """Return why there is no maintenance window; empty if there is one."""
    if settings.host.maintenance_window:
        return ""
    # Restarting the engine or the host would stop somebody else's containers.
    return not_ours(settings, machine) or "setting 'maintenance_window' is empty"


def programs(settings: Settings, turn: int | None) -> Iterator[File]:
    """Yield the programs and units of the maintenance window.

    Args:
        turn: the host's turn in its cluster, from 0; None without a cluster.
    """
    for unit in _WINDOW_UNITS:
        yield systemd.unit_file(unit, settings=settings, turn=turn)


def questions(known: Known) -> Iterator[Question[HardeningState]]:
    """Yield the step's questions to the agent."""
    yield hardening_question(**_arguments(known))


def _parts(known: Known) -> list[File]:
    """Return the programs and units of the maintenance window; none without one."""
    if without_window(known.settings, known.machine):
        return []
    return [*programs(known.settings, known.site.turn)]


def _units(settings: Settings) -> dict[str, list[str]]:
    units = {"systemd-journald.service": [_JOURNAL]}
    if settings.host.auditd == "on":
        units["auditd.service"] = []
    return units


def _arguments(known: Known) -> dict[str, Any]:
    """Return the arguments of `hardening_question` for all operations of the step."""
    settings, parts = known.settings, _parts(known)
    return {
        "paths": [
            *(file.path for file in [*configuration(settings), *parts]),
            *MODES,
            DROP_IN,
            _FORMER,
            *([] if parts else _WINDOW_PATHS),
        ],
        "units": {**_units(settings), TIMER: []},
        "schedule": settings.host.maintenance_window,
    }


@deploy("Hardening")
def hardening(known: Known) -> None:
    """Harden the host and its SSH server, then configure the maintenance window.

    It runs after all packages are installed, because it tightens the modes of their directories.
    """
    settings, arguments = known.settings, _arguments(known)
    if settings.host.hardening == "on":
        host_files(
            configuration=[*configuration(settings)],
            units=_units(settings),
            rules=_RULES,
            arguments=arguments,
            name="Harden kernel modules, shells, journal and files' modes",
        )
        ssh_server(
            is_sole_manager=not not_ours(settings, known.machine),
            arguments=arguments,
            name="Harden SSH",
        )
    maintenance_window(
        programs=_parts(known),
        without=without_window(settings, known.machine),
        arguments=arguments,
        name="Schedule the maintenance window for Docker's upgrades and reboots",
    )
