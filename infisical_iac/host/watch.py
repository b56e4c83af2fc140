"""Configure the access log's rotation and fail2ban."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath

from pyinfra.context import host

from infisical_iac.core import files, journal, units
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.facts.watch import Watch, WatchState
from infisical_iac.host import bans as rules

DIRECTORY = "/var/log/infisical-access"
# A file system of its own, for the log that is written; what was rotated is beside it.
LIVE = f"{DIRECTORY}/live"
LOG = f"{LIVE}/access.log"
TIMER = "infisical-access-log.timer"
DISK = "infisical-access-disk.service"
# logrotate's, of versions before.
_FORMER = "/etc/infisical-access-log.conf"
FAIL2BAN = "fail2ban.service"


@telling_operation
def kept(
    rotation: Sequence[File], bans: Sequence[File], jails: Collection[str], *, has_log: bool
) -> Commands:
    """Keep the access log's file system and its `rotation` by a timer, and fail2ban at work.

    Args:
        rotation: the files of the rotation, units among them.
        bans: all that fail2ban reads of this project's; none leaves fail2ban to its own, but for
            files that this project has written with other settings, which are taken away.
        jails: those that have to be at work; fail2ban's own and others' are left alone.
        has_log: whether something writes the log.
    """
    wanted = [each.path for each in bans]
    mine = dict.fromkeys((*wanted, *rules.all_paths()))
    there = host.get_fact(
        Watch,
        paths=[*(each.path for each in rotation), *mine, LOG, _FORMER],
        live=LIVE,
        units=[*(PurePath(each.path).name for each in rotation if units.is_unit(each)), FAIL2BAN],
        config={FAIL2BAN: wanted},
    )
    surplus = [path for path in mine if path not in wanted and path in there.files]
    commands = [
        *_rotated(rotation, there),
        *(_log(there) if has_log else ()),
        *_banning(bans, surplus, jails, there),
    ]
    if not commands:
        host.noop("the access log is rotated, and fail2ban bans as it should")
    yield from commands


def _log(there: WatchState) -> Commands:
    yield from units.brought_up([DISK], there.units)
    disk = there.units.get(DISK)
    if not there.live and disk and disk.active:
        journal.item("~", LIVE, "mounted again")
        yield step(units.systemctl, "restart", DISK)
    if there.live and LOG not in there.files:
        journal.item("+", LOG)
        # fail2ban does not start for a log that is missing.
        yield step(run, f"(umask 077; touch {LOG})", doing=f"make {LOG}")


def _rotated(rotation: Sequence[File], there: WatchState) -> Commands:
    own = {name: state for name, state in there.units.items() if name != FAIL2BAN}
    yield from units.installed(rotation, there.files, own)
    yield from units.brought_up([TIMER], there.units)
    if _FORMER in there.files:
        journal.item("-", _FORMER, "a script of this project rotates the log")
        yield step(run, f"rm -f {_FORMER}", doing=f"remove {_FORMER}")


def _banning(
    bans: Sequence[File], surplus: Sequence[str], jails: Collection[str], there: WatchState
) -> Commands:
    wrong = files.differing(bans, there.files)
    yield from files.written(wrong, there.files)
    for path in surplus:
        journal.item("-", path, "the settings don't ask for it")
        yield step(run, f"rm -f {shlex.quote(path)}", doing=f"remove {path}")
    state = there.units.get(FAIL2BAN)
    if not bans:
        if surplus:
            yield step(run, f"systemctl try-restart {FAIL2BAN}", doing=f"restart {FAIL2BAN}")
        return
    if state is None or not state.enabled:
        journal.item("~", FAIL2BAN, "enabled")
        yield step(run, f"systemctl enable {FAIL2BAN}", doing=f"enable {FAIL2BAN}")
    reason = "; ".join(_reasons(bool(wrong or surplus), jails, there))
    if reason:
        journal.item("~", FAIL2BAN, f"restarted, for {reason}")
        yield step(run, f"systemctl restart {FAIL2BAN}", doing=f"restart {FAIL2BAN}")


def _reasons(changed: bool, jails: Collection[str], there: WatchState) -> Iterator[str]:
    state = there.units.get(FAIL2BAN)
    if state is None or not state.active:
        yield "it does not run"
        return
    if changed or state.stale:
        yield "its configuration is another one"
    if missing := sorted(set(jails) - there.jails):
        yield f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not at work"
    if there.unenforced:
        yield f"nftables lets {len(there.unenforced)} banned in"
