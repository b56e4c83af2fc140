"""Configure backups: credentials of the targets, configuration files, and timers."""

import os
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from pyinfra import logger
from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.agent import system
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.backup import target
from infisical_iac.backup.target import DIRECTORY, BackupTarget
from infisical_iac.core import audit, journal, units
from infisical_iac.core.agent import Question, inspect, question, together
from infisical_iac.core.change import Change
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import remove, run, write
from infisical_iac.core.settings import Settings
from infisical_iac.host.site import Known
from infisical_iac.stack.compose import compose_file


@dataclass(frozen=True)
class BackupState:
    """The actual state of backups on a host.

    Attributes:
        private: the files with credentials and the webhook's address, by path; never their texts.
        files: the requested configuration files, by path.
        units: the units of systemd, by name.
        no_schedules: the schedules that systemd does not understand; all of them without systemd.
    """

    private: dict[str, PathState] = field(default_factory=dict)
    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    no_schedules: tuple[str, ...] = ()


def backup_question(
    *, schedules: Sequence[str], paths: Sequence[str], names: Sequence[str]
) -> Question[BackupState]:
    """Return the question for the BackupState, with the named units and the checked schedules."""

    def make_state(
        found: dict[str, PathState], of_units: dict[str, UnitState], refused: frozenset[str]
    ) -> BackupState:
        private = {path: state for path, state in found.items() if _is_private(path)}
        return BackupState(
            private,
            {path: state for path, state in found.items() if path not in private},
            of_units,
            tuple(each for each in schedules if each in refused),
        )

    return together(
        make_state,
        question(states, paths=[*paths, SSH_KEY, WEBHOOK], patterns=[f"{DIRECTORY}/*.env"]),
        units.question_for(names),
        question(system.refused_schedules, schedules=[*schedules]),
    )


def _is_private(path: str) -> bool:
    name = path.removeprefix(f"{DIRECTORY}/")
    return name in ("ssh_key", "webhook") or ("/" not in name and name.endswith(".env"))


SSH_KEY = f"{DIRECTORY}/ssh_key"
WEBHOOK = f"{DIRECTORY}/webhook"


_TIMERS = ("infisical-backup.timer", "infisical-drill.timer")


@dataclass(frozen=True)
class DesiredBackups:
    """The desired state of backups on a host.

    Attributes:
        targets: the targets whose credentials the host needs.
        webhook: the address to which failures are posted, or empty.
        schedules: schedules by setting, which systemd must understand before anything is changed.
        files: all files without secrets, units included.
        coming: files that an earlier step of this run writes.
    """

    targets: Sequence[BackupTarget]
    webhook: str = field(repr=False)
    schedules: Mapping[str, str]
    files: Sequence[File]
    timers: Sequence[str] = _TIMERS
    coming: Collection[str] = ()


@planned_operation
def targets_and_timers(desired: DesiredBackups) -> Commands:
    """Write the targets' credentials and the configuration, and start the timers.

    Credentials stay on the host if the environment has no new ones. Credentials that no target
    needs are removed. Raises a UserError for credentials that neither the environment nor the host
    has, and for an invalid schedule.

    Example:
        targets_and_timers(desired=desired, name="Configure backups and drills with their timers")
    """
    there = inspect(_question(desired))
    yield from decide(there, desired, target.render_logins(desired.targets, os.environ))


def _question(desired: DesiredBackups) -> Question[BackupState]:
    return backup_question(
        schedules=[*desired.schedules.values()],
        paths=[*(each.path for each in desired.files), *FORMER],
        names=[PurePath(each.path).name for each in desired.files if units.is_unit(each)],
    )


def decide(there: BackupState, desired: DesiredBackups, given: Mapping[str, str]) -> Commands:
    """Return the steps from the actual state, `there`, to the desired one.

    The new credentials are `given` by path. Raises the errors of `targets_and_timers`.
    """
    for setting, schedule in desired.schedules.items():
        if schedule in there.no_schedules:
            raise SettingsError(
                f"setting {setting!r}: systemd does not understand {schedule!r}; "
                "`systemd-analyze calendar` on the host says why"
            )
    decided = (
        *_private(desired, given, there.private),
        *units.install(desired.files, there.files, there.units),
        *units.bring_up(desired.timers, there.units),
        *_remove_former(there.files),
    )
    yield from or_up_to_date(decided, "backups and drills are configured, and their timers run")


def _remove_former(there: Collection[str]) -> Commands:
    for path in FORMER:
        if path in there:
            yield Change("-", path, "the agent does its work")
            yield step(remove, path, doing=f"remove {path}")


def _private(
    desired: DesiredBackups, given: Mapping[str, str], there: Mapping[str, PathState]
) -> Commands:
    targets, coming, webhook = desired.targets, desired.coming, desired.webhook
    target.refuse_missing(targets, {*there, *given, *coming})
    texts = {**given, **({WEBHOOK: f'url = "{webhook}"\n'} if webhook else {})}
    needs_key = any(each.kind.uses_ssh for each in targets)
    kept = {*texts, *(each.login_file for each in targets), *([SSH_KEY] if needs_key else [])}
    for path, text in texts.items():
        if not File(path, text, mode="600").matches(there.get(path)):
            yield Change("~" if path in there else "+", path)
            yield step(write, path, text)
    for path in sorted(kept & there.keys() - texts.keys()):
        if (there[path].mode, there[path].owner) != ("600", "root:root"):
            yield Change("~", path, "readable by others → private to root")
            private = f"chown root:root {shlex.quote(path)} && chmod 600 {shlex.quote(path)}"
            yield step(run, private, doing=f"make {path} private")
    if needs_key and SSH_KEY not in {*there, *coming}:
        yield Change("+", SSH_KEY)
        yield step(_make_key)
    # The SSH key stays: a target's server may have its public half.
    for path in sorted(there.keys() - kept - {SSH_KEY}):
        yield Change("-", path, "no target needs it")
        yield step(remove, path, doing=f"remove {path}")


def _make_key() -> None:
    public = run(
        f"umask 077; mkdir -p {DIRECTORY} && rm -f {SSH_KEY}.new {SSH_KEY}.new.pub && "
        f'ssh-keygen -q -t ed25519 -N "" -C "infisical-backup@$(hostname)" -f {SSH_KEY}.new && '
        f"sync {SSH_KEY}.new.pub {SSH_KEY}.new && "
        f"mv -f {SSH_KEY}.new.pub {SSH_KEY}.pub && mv -f {SSH_KEY}.new {SSH_KEY} && "
        f"sync {DIRECTORY} && "
        f"cat {SSH_KEY}.pub",
        doing=f"make {SSH_KEY}",
    )
    sentence = f"Let this key log in at the SFTP targets of backups: {public.strip()}"
    journal.current().operator_notes.append(sentence)
    logger.info(f"{host.print_prefix}{sentence}")


DRILL = "/var/lib/infisical-drill/compose.yaml"
# The programs of earlier versions, whose work the agent does.
FORMER = tuple(
    f"{units.SCRIPTS}/{each}.sh"
    for each in (
        *("backup", "backup-dump", "backup-target", "reporting"),
        *("drill", "drill-look", "snapshot"),
    )
)


def configuration(settings: Settings, number: int | None = None) -> Iterator[File]:
    """Return the files that the agent reads; `number` is a cluster node's number."""
    targets = settings.backup.backup_targets
    keep = settings.backup.backup_keep.model_dump()
    # The targets that all nodes share; each host has its own directories.
    shared = " ".join(each.name for each in targets if not each.kind.on_host)
    sharing = {} if number is None else {"NODE": str(number), "SHARED": shared}
    yield _variables(
        "backup.conf",
        TARGETS=" ".join(each.name for each in targets),
        KEEP=" ".join(f"--keep-{period} {most}" for period, most in keep.items()),
        WITH_ENCRYPTION_KEY=str(settings.backup.backup_with_encryption_key).lower(),
        AUDIT=audit.FILE,
        **sharing,
    )
    for each in targets:
        more = each.kind.configuration(each) | ({"APPEND_ONLY": "true"} if each.append_only else {})
        yield _variables(f"{each.name}.conf", REPOSITORY=each.repository, **more)
    # The SSH command looks up the server by HostKeyAlias, which is the target's name.
    known = [f"{each.name} {each.host_key}\n" for each in targets if each.kind.uses_ssh]
    if known:
        yield File(f"{DIRECTORY}/known_hosts", "".join(known), mode="600")


def _variables(name: str, **values: str) -> File:
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
    return File(f"{DIRECTORY}/{name}", text, mode="600")


def programs(settings: Settings) -> Iterator[File]:
    """Return the units that run backups and drills."""
    for what in ("backup", "drill"):
        for kind in (".timer", ".service", "-failed.service"):
            yield units.unit_file(f"infisical-{what}{kind}", settings=settings)


def list_leader_credentials(targets: Collection[BackupTarget]) -> frozenset[str]:
    """Return the files with credentials that a cluster's leader shares with the other nodes."""
    return frozenset({SSH_KEY, *(each.login_file for each in targets if each.kind.login)})


def questions(known: Known) -> Iterator[Question[BackupState]]:
    """Yield the questions that the step asks the agent."""
    yield _question(_desired_backups(known))


def _desired_backups(known: Known, coming: Collection[str] = ()) -> DesiredBackups:
    """Return the desired backups; an earlier step writes the files in `coming`."""
    settings, kept = known.settings, journal.current().kept
    running, own = settings.keeping(kept) if kept else settings, settings.backup
    # A host without data saves nothing, and needs no credentials.
    saves = known.site.number != 0
    # With monitoring, the monitor posts the failures of jobs, and repeats that until it succeeds.
    posts = saves and settings.monitoring.monitoring == "off"
    return DesiredBackups(
        targets=own.backup_targets if saves else (),
        webhook=own.backup_webhook if posts else "",
        schedules={key: getattr(own, key) for key in ("backup_schedule", "drill_schedule")},
        files=[
            *configuration(settings, known.site.number),
            *programs(settings),
            # A drill restores dumps of the version that runs.
            File(DRILL, compose_file(running, known.machine, drill=True), mode="600"),
        ],
        coming=coming if known.leads else {*coming, *list_leader_credentials(own.backup_targets)},
    )


@deploy("Backup")
def backup(known: Known, coming: Collection[str] = ()) -> None:
    """Set up backups and drills on the host; an earlier step writes the files in `coming`."""
    desired = _desired_backups(known, coming)
    targets_and_timers(desired=desired, name="Configure backups and drills with their timers")
