"""Backups: what targets log in with, which nobody may see, the configuration, and the timers."""

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath

from pyinfra import logger
from pyinfra.context import host

from infisical_iac.backup import credentials
from infisical_iac.backup.target import DIRECTORY, Target
from infisical_iac.core import journal, units
from infisical_iac.core.errors import UserError
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import remove, run, write
from infisical_iac.facts.backup import Backup
from infisical_iac.facts.files import PathState

SSH_KEY = f"{DIRECTORY}/ssh_key"
WEBHOOK = f"{DIRECTORY}/webhook"


class BackupError(UserError):
    """The host can't be backed up as the settings say."""


@telling_operation
def kept(
    targets: Sequence[Target],
    *,
    webhook: str,
    schedules: Mapping[str, str],
    configuration: Sequence[File],
    timers: Sequence[str],
    coming: Collection[str] = (),
) -> Commands:
    """Keep on the host what backups log in with, their `configuration`, and the `timers` running.

    Credentials that the environment does not bring stay as they are; what belongs to no target
    any more is taken away.

    Args:
        webhook: where failures are posted, or empty.
        schedules: what systemd must understand before anything is changed, by their settings.
        configuration: all that is no secret, units among it.
        coming: files that an earlier step of this run brings.

    Raises a UserError for credentials that are neither brought nor there, and for a schedule that
    is none.
    """
    there = host.get_fact(
        Backup,
        schedules=list(schedules.values()),
        paths=[each.path for each in configuration],
        units=[PurePath(each.path).name for each in configuration if units.is_unit(each)],
    )
    for setting, schedule in schedules.items():
        if schedule in there.no_schedules:
            raise BackupError(
                f"setting {setting!r}: systemd does not understand {schedule!r}; "
                "`systemd-analyze calendar` on the host tells more"
            )
    commands = [
        *_private(targets, webhook, there.private, coming),
        *units.installed(configuration, there.files, there.units),
        *units.brought_up(timers, there.units),
    ]
    if not commands:
        host.noop("backups and drills are configured, and their timers run")
    yield from commands


def _private(
    targets: Sequence[Target],
    webhook: str,
    there: Mapping[str, PathState],
    coming: Collection[str],
) -> Commands:
    given = credentials.given(targets, os.environ)
    credentials.refuse_missing(targets, {*there, *given, *coming})
    wanted = {**given, **({WEBHOOK: f'url = "{webhook}"\n'} if webhook else {})}
    needs_key = any(each.kind == "sftp" for each in targets)
    kept = {*wanted, *map(credentials.path, targets), *([SSH_KEY] if needs_key else [])}
    for path, text in wanted.items():
        if not File(path, text, mode="600").matches(there.get(path)):
            journal.item("~" if path in there else "+", path)
            yield step(write, path, text)
    readable = {path for path, state in there.items() if not _is_roots_alone(state)}
    yield from _made_private(kept & readable - wanted.keys())
    if needs_key and SSH_KEY not in {*there, *coming}:
        journal.item("+", SSH_KEY)
        yield step(_make_key)
    # The SSH key stays: a target's server may know it.
    for path in sorted(there.keys() - kept - {SSH_KEY}):
        journal.item("-", path, "no target needs it")
        yield step(remove, path, doing=f"remove {path}")


def _is_roots_alone(state: PathState) -> bool:
    return (state.mode, state.owner) == ("600", "root:root")


def _made_private(paths: set[str]) -> Commands:
    for path in sorted(paths):
        journal.item("~", path, "readable by others → private to root")
        private = f"chown root:root {shlex.quote(path)} && chmod 600 {shlex.quote(path)}"
        yield step(run, private, doing=f"make {path} private")


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
    journal.current().shown.append(sentence)
    logger.info(f"{host.print_prefix}{sentence}")
