"""Configure the access log's rotation and fail2ban."""

import json
import re
import shlex
from ast import literal_eval
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network
from pathlib import PurePath

from pyinfra.api.deploy import deploy
from pyinfra.context import host

from infisical_iac.core import files, units
from infisical_iac.core.facts import Fact, joined, parted
from infisical_iac.core.files import File, Paths, PathState
from infisical_iac.core.item import Item
from infisical_iac.core.operation import Commands, or_up_to_date, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script, script_file
from infisical_iac.core.settings import Settings
from infisical_iac.core.units import Units, UnitState
from infisical_iac.host import bans as rules
from infisical_iac.host.site import Known

_MOUNTED = "mounted"
_PROMPT = "fail2ban> "


@dataclass(frozen=True)
class WatchState:
    """The files and units that were asked for, by path and name, and what fail2ban does.

    Attributes:
        jails: those at work.
        unenforced: what is banned, as fail2ban has it, and nftables lets in: addresses of IPv4,
            networks of IPv6.
        live: whether the log that is written has a file system of its own.
    """

    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    jails: frozenset[str] = frozenset()
    unenforced: frozenset[str] = frozenset()
    live: bool = False


class Watch(Fact[WatchState]):
    """The WatchState.

    Args:
        config: the files that a unit reads at its start, by its name.
        live: where the log's file system is to be mounted.
    """

    def command(
        self, paths: list[str], units: list[str], config: dict[str, list[str]], live: str
    ) -> str:
        return joined(
            Paths().command(paths),
            f"! mountpoint --quiet {shlex.quote(live)} || echo {_MOUNTED}; "
            "printf 'status\\nbanned\\n' | timeout 20 fail2ban-client -i 2>/dev/null; echo; "
            "nft --json list table inet f2b-table 2>/dev/null; echo",
            Units().command(units, config),
        )

    def process(self, output: list[str]) -> WatchState:
        files, told, units = parted(output)
        jails: frozenset[str] = frozenset()
        banned = enforced = jails
        for line in told:
            if found := re.search(r"Jail list:\s*(\S.*)", line):
                jails = frozenset(re.split(r",\s*", found[1].strip()))
            elif line.startswith(f"{_PROMPT}["):
                of_jails = [jail.values() for jail in literal_eval(line.removeprefix(_PROMPT))]
                banned = _networks(each for lists in of_jails for some in lists for each in some)
            elif line.startswith('{"nftables"'):
                sets = [each["set"] for each in json.loads(line)["nftables"] if "set" in each]
                enforced = _networks(_text(each) for one in sets for each in one.get("elem", ()))
        return WatchState(
            Paths().process(files),
            Units().process(units),
            jails,
            banned - enforced,
            _MOUNTED in told,
        )


def _text(element: str | dict[str, dict[str, object]]) -> str:
    """Return an element of a set, which nft writes as an address or as a prefix, as text."""
    if isinstance(element, str):
        return element
    return "{addr}/{len}".format(**element["prefix"])


def _networks(found: Iterable[str]) -> frozenset[str]:
    """Return addresses and networks, each in the one way in which it can be compared."""
    return frozenset(
        str(ip_network(each)).removesuffix("/32").removesuffix("/128") for each in found
    )


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
def log_and_bans(
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
    there = host.get_fact(
        Watch,
        paths=[*(each.path for each in rotation), *_of_ours(bans), LOG, _FORMER],
        live=LIVE,
        units=[*(PurePath(each.path).name for each in rotation if units.is_unit(each)), FAIL2BAN],
        config={FAIL2BAN: wanted},
    )
    yield from decide(rotation, bans, jails, there, has_log=has_log)


def decide(
    rotation: Sequence[File],
    bans: Sequence[File],
    jails: Collection[str],
    there: WatchState,
    *,
    has_log: bool,
) -> Commands:
    """Decide what is to be done for the access log and fail2ban, by what is `there` of them."""
    wanted = {each.path for each in bans}
    surplus = [path for path in _of_ours(bans) if path not in wanted and path in there.files]
    decided = (
        *_install_rotation(rotation, there),
        *(_log(there) if has_log else ()),
        *_banning(bans, surplus, jails, there),
    )
    yield from or_up_to_date(decided, "the access log is rotated, and fail2ban bans as it should")


def _of_ours(bans: Sequence[File]) -> list[str]:
    """Return the paths of all fail2ban's files that this project writes with some settings."""
    return [*dict.fromkeys((*(each.path for each in bans), *rules.all_paths()))]


def _log(there: WatchState) -> Commands:
    yield from units.brought_up([DISK], there.units)
    disk = there.units.get(DISK)
    if not there.live and disk and disk.active:
        yield Item("~", LIVE, "mounted again")
        yield step(units.systemctl, "restart", DISK)
    if there.live and LOG not in there.files:
        yield Item("+", LOG)
        # fail2ban does not start for a log that is missing.
        yield step(run, f"(umask 077; touch {LOG})", doing=f"make {LOG}")


def _install_rotation(rotation: Sequence[File], there: WatchState) -> Commands:
    own = {name: state for name, state in there.units.items() if name != FAIL2BAN}
    yield from units.installed(rotation, there.files, own)
    yield from units.brought_up([TIMER], there.units)
    if _FORMER in there.files:
        yield Item("-", _FORMER, "a script of this project rotates the log")
        yield step(run, f"rm -f {_FORMER}", doing=f"remove {_FORMER}")


def _banning(
    bans: Sequence[File], surplus: Sequence[str], jails: Collection[str], there: WatchState
) -> Commands:
    wrong = files.differing(bans, there.files)
    yield from files.written(wrong, there.files)
    for path in surplus:
        yield Item("-", path, "the settings don't ask for it")
        yield step(run, f"rm -f {shlex.quote(path)}", doing=f"remove {path}")
    state = there.units.get(FAIL2BAN)
    if not bans:
        if surplus:
            yield step(run, f"systemctl try-restart {FAIL2BAN}", doing=f"restart {FAIL2BAN}")
        return
    if state is None or not state.enabled:
        yield Item("~", FAIL2BAN, "enabled")
        yield step(run, f"systemctl enable {FAIL2BAN}", doing=f"enable {FAIL2BAN}")
    reason = "; ".join(_reasons(bool(wrong or surplus), jails, there))
    if reason:
        yield Item("~", FAIL2BAN, f"restarted, for {reason}")
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


_OWN_UNITS = ("infisical-access-log.service", TIMER, DISK)
# What Caddy can write until it is rotated: a quarter of all, and no more.
_LIVE_MB = 256


def rotation(settings: Settings) -> Iterator[File]:
    """The files by which the log has its file system, and by which a timer rotates it."""
    most = settings.stack.access_log_max_mb
    arguments = (min(_LIVE_MB, most // 4), settings.stack.access_log_keep_days, most)
    rotate = units.program("access-log")
    yield rotate
    for unit in _OWN_UNITS:
        yield units.unit_file(unit, script=rotate.path, arguments=" ".join(map(str, arguments)))


def bans(settings: Settings) -> Iterator[File]:
    """The files that tell fail2ban what to count, none where it is off."""
    for path, text in rules.texts(settings, LOG):
        yield File(path, text)
    if settings.host.fail2ban == "on":
        yield File(rules.KNOWN, script_file("has-logged-in"))


@deploy("Watch")
def watch(known: Known) -> None:
    """Log who asks Infisical, and ban who asks too often.

    It comes before the containers: what is mounted into one has to be there.
    """
    log_and_bans(
        rotation=[*rotation(known.settings)],
        bans=[*bans(known.settings)],
        jails=rules.jails(known.settings),
        has_log=known.settings.stack.runs_caddy,
        name="Keep the access log rotated, and ban who fails to log in",
    )


def read_requests(
    since: datetime, last: int, ids: Sequence[str], environment: str, wanted: str
) -> list[str]:
    """Return the lines of the current host's access log that are asked for, the latest last."""
    text = f"environment={environment}" if environment else ""
    asked = (text, ",".join(ids), environment, wanted)
    command = script("access", DIRECTORY, str(int(since.timestamp())), str(last), *asked)
    return run(command, doing="read the access log").splitlines()
