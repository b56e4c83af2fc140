"""Configure fail2ban and the access log's rotation, and read requests from that log.

fail2ban's jails and filters define which requests count, and which addresses are never banned.
"""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from inspect import getsource
from pathlib import PurePath
from typing import NamedTuple

from pyinfra.api.deploy import deploy

from infisical_iac.agent import access, access_log, system
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.core import files, units
from infisical_iac.core.agent import Question, ask, inspect, question, together
from infisical_iac.core.change import Change
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import template
from infisical_iac.core.settings import Settings
from infisical_iac.host import ban_networks
from infisical_iac.host.site import Known


@dataclass(frozen=True)
class WatchState:
    """The files by path, the units by name, and the state of fail2ban.

    Attributes:
        jails: the names of the active jails.
        unenforced: the IPv4 addresses and IPv6 networks that fail2ban has banned, but nftables lets
            in.
        live: whether the current log has a file system of its own.
    """

    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)
    jails: frozenset[str] = frozenset()
    unenforced: frozenset[str] = frozenset()
    live: bool = False


def watch_question(
    *,
    paths: Sequence[str],
    names: Sequence[str],
    config: Mapping[str, Sequence[str]],
    live: str,
) -> Question[WatchState]:
    """Return the question for the WatchState.

    Args:
        names: of the units.
        config: the files that each unit reads at its start, by the unit's name.
        live: the mount point of the log's file system.
    """
    return together(
        lambda found, of_units, banning, is_live: WatchState(
            found, of_units, banning.jails, banning.unenforced, is_live
        ),
        question(states, paths=[*paths]),
        units.question_for(names, config),
        question(system.bans),
        question(system.is_mounted, place=live),
    )


DIRECTORY, LIVE, LOG = access_log.DIRECTORY, access_log.LIVE, access_log.LOG
TIMER = "infisical-access-log.timer"
DISK = "infisical-access-disk.service"
# Files of earlier versions: the configuration of logrotate, and the program of the rotation.
_FORMER = ("/etc/infisical-access-log.conf", f"{units.SCRIPTS}/access-log.sh")
FAIL2BAN = "fail2ban.service"


@planned_operation
def log_and_bans(
    rotation: Sequence[File], bans: Sequence[File], jails: Collection[str], *, has_log: bool
) -> Commands:
    """Install the access log's file system and rotation, and configure fail2ban.

    Args:
        rotation: the files of the rotation, with its units.
        bans: this project's files for fail2ban. Those written with other settings are removed. If
            empty, fail2ban is otherwise left alone.
        jails: the names of jails that must be active; other jails are left alone.
        has_log: whether something writes the log.
    """
    yield from decide(rotation, bans, jails, inspect(_question(rotation, bans)), has_log=has_log)


def _question(rotation: Sequence[File], bans: Sequence[File]) -> Question[WatchState]:
    return watch_question(
        paths=[*(each.path for each in rotation), *_own_paths(bans), LOG, *_FORMER],
        live=LIVE,
        names=[*(PurePath(each.path).name for each in rotation if units.is_unit(each)), FAIL2BAN],
        config={FAIL2BAN: [each.path for each in bans]},
    )


def decide(
    rotation: Sequence[File],
    bans: Sequence[File],
    jails: Collection[str],
    there: WatchState,
    *,
    has_log: bool,
) -> Commands:
    """Decide how to change the access log and fail2ban, by their actual state `there`."""
    desired = {each.path for each in bans}
    surplus = [path for path in _own_paths(bans) if path not in desired and path in there.files]
    decided = (
        *_install_rotation(rotation, there),
        *(_log(there) if has_log else ()),
        *_banning(bans, surplus, jails, there),
    )
    yield from or_up_to_date(
        decided, "the access log is rotated, and fail2ban bans as the settings say"
    )


def _own_paths(bans: Sequence[File]) -> list[str]:
    """Return the paths of all files of fail2ban that this project writes with any settings."""
    always = (JAIL, SETS, NETWORKS, *map(filter_path, FILTERS), _KNOWN)
    return [*dict.fromkeys((*(each.path for each in bans), *always))]


def _log(there: WatchState) -> Commands:
    yield from units.bring_up([DISK], there.units)
    disk = there.units.get(DISK)
    if not there.live and disk and disk.active:
        yield Change("~", LIVE, "mounted again")
        yield step(units.systemctl, "restart", DISK)
    if there.live and LOG not in there.files:
        yield Change("+", LOG)
        # fail2ban does not start if the log is missing.
        yield step(run, f"(umask 077; touch {LOG})", doing=f"make {LOG}")


def _install_rotation(rotation: Sequence[File], there: WatchState) -> Commands:
    own = {name: state for name, state in there.units.items() if name != FAIL2BAN}
    yield from units.install(rotation, there.files, own)
    yield from units.bring_up([TIMER], there.units)
    for path in _FORMER:
        if path in there.files:
            yield Change("-", path, "the agent rotates the log")
            yield step(run, f"rm -f {path}", doing=f"remove {path}")


def _banning(
    bans: Sequence[File], surplus: Sequence[str], jails: Collection[str], there: WatchState
) -> Commands:
    wrong = files.find_differing(bans, there.files)
    yield from files.rewrite(wrong, there.files)
    for path in surplus:
        yield Change("-", path, "the settings have no use for it")
        yield step(run, f"rm -f {shlex.quote(path)}", doing=f"remove {path}")
    state = there.units.get(FAIL2BAN)
    if not bans:
        if surplus:
            yield step(run, f"systemctl try-restart {FAIL2BAN}", doing=f"restart {FAIL2BAN}")
        return
    if state is None or not state.enabled:
        yield Change("~", FAIL2BAN, "enabled")
        yield step(run, f"systemctl enable {FAIL2BAN}", doing=f"enable {FAIL2BAN}")
    reason = "; ".join(_reasons(bool(wrong or surplus), jails, there))
    if reason:
        yield Change("~", FAIL2BAN, f"restarted, because {reason}")
        yield step(run, f"systemctl restart {FAIL2BAN}", doing=f"restart {FAIL2BAN}")


def _reasons(changed: bool, jails: Collection[str], there: WatchState) -> Iterator[str]:
    state = there.units.get(FAIL2BAN)
    if state is None or not state.active:
        yield "it does not run"
        return
    if changed or state.stale:
        yield "its configuration has changed"
    if missing := sorted(set(jails) - there.jails):
        yield f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not run"
    if there.unenforced:
        yield f"nftables does not block {len(there.unenforced)} of the banned addresses"


_OWN_UNITS = ("infisical-access-log.service", TIMER, DISK)
# The largest size of the current log; it gets at most a quarter of access_log_max_mb.
_LIVE_MB = 256


def rotation(settings: Settings) -> Iterator[File]:
    """Yield the files that give the log its file system and rotate it by a timer."""
    most = settings.stack.access_log_max_mb
    limits = (min(_LIVE_MB, most // 4), settings.stack.access_log_keep_days, most)
    for unit in _OWN_UNITS:
        yield units.unit_file(unit, limits=limits)


def bans(settings: Settings) -> Iterator[File]:
    """Yield the configuration files of fail2ban; none if it is off."""
    for path, text in render_bans(settings):
        yield File(path, text)


def questions(known: Known) -> Iterator[Question[WatchState]]:
    """Yield the step's questions to the agent."""
    yield _question([*rotation(known.settings)], [*bans(known.settings)])


@deploy("Watch")
def watch(known: Known) -> None:
    """Configure access log rotation and fail2ban.

    It runs before the containers start, because the log's directory is mounted into one of them.
    """
    log_and_bans(
        rotation=[*rotation(known.settings)],
        bans=[*bans(known.settings)],
        jails=list_jails(known.settings),
        has_log=known.settings.stack.runs_caddy,
        name="Rotate the access log, and ban after failed logins",
    )


def read_folder_reads(since: datetime, without: Sequence[str]) -> access.FoundReads:
    """Return the folders that were read by the access log of the current host.

    Args:
        without: the ids of identities whose reads don't count.
    """
    at = since.timestamp()
    return ask(question(access.find_reads, folder=DIRECTORY, since=at, without=without))


def read_requests(
    since: datetime, last: int, ids: Sequence[str], environment: str, statuses: str
) -> access.FoundRequests:
    """Return the matching requests in the current host's access log, the latest last."""
    asked = question(
        access.find_requests,
        folder=DIRECTORY,
        since=since.timestamp(),
        last=last,
        ids=ids,
        environment=environment,
        statuses=statuses,
    )
    return ask(asked)


def read_own_requests(
    since: datetime, last: int, environment: str, statuses: str
) -> access.FoundRequests:
    """Return the matching requests in the current host's log of Infisical, the latest last."""
    asked = question(
        access.find_own_requests,
        since=since.timestamp(),
        last=last,
        environment=environment,
        statuses=statuses,
    )
    return ask(asked)


def read_noted_writes(since: datetime) -> list[access.NotedWrite]:
    """Return the writes that Infisical has noted in its database since then."""
    return ask(question(access.noted_writes, since=since.timestamp()))


FAIL2BAN_DIRECTORY = "/etc/fail2ban"
JAIL = f"{FAIL2BAN_DIRECTORY}/jail.d/infisical-iac.conf"
NETWORKS = f"{FAIL2BAN_DIRECTORY}/action.d/infisical_networks.py"
SETS = f"{FAIL2BAN_DIRECTORY}/action.d/infisical-nftables.conf"
# A program of earlier versions.
_KNOWN = f"{units.SCRIPTS}/has-logged-in.sh"
_LOOPBACK = ("127.0.0.0/8", "::1")

# Fastify ignores the case of a path and doubled slashes, and routes longer paths too. A letter that
# is escaped without need may hide any of these paths.
_ESCAPED = r"/[^?&#\x22]*%(?:2d|3[0-9]|[46][1-9a-f]|[57][0-9a])"
_LOGIN = r"auth/+(?:[a-z0-9-]+/+)?(?:login|mfa)|password/|account-recovery|signup"
_FAILING = rf"/+api/+v[0-9]+/+(?:{_LOGIN}|admin/+(?:bootstrap|signup))|{_ESCAPED}"
# All requests that any jail counts. Caddy uses it too, so it has no lookahead.
COUNTED = rf"/+api/+v[0-9]+/+(?:{_LOGIN}|admin/)|{_ESCAPED}"
# Any web page can make a browser send these methods, and no login uses them.
METHODS_OF_PAGES = ("GET", "HEAD", "OPTIONS")
# Caddy's answer to all other requests that a browser marks as cross-site. They never reach
# Infisical, so they are not login attempts, and Infisical itself never answers with this status.
FOREIGN_STATUS = 412
# While a change is checked, the closed edge answers every request with 503, repeated logins too.
_UNCOUNTED = f"(?:{FOREIGN_STATUS}|503)"


class Filter(NamedTuple):
    """Two regular expressions, for the path and the status of counted lines of the access log."""

    paths: str
    statuses: str


FILTERS = {
    "infisical-login": Filter(_FAILING, r"4\d\d"),
    "infisical-calls": Filter(COUNTED, r"\d\d\d"),
}


def filter_path(name: str) -> str:
    """Return the path of a filter on the host."""
    return f"{FAIL2BAN_DIRECTORY}/filter.d/{name}.conf"


def list_jails(settings: Settings) -> tuple[str, ...]:
    """Return the names of the desired jails: SSH's, and Infisical's where Caddy writes a log."""
    if settings.host.fail2ban == "off":
        return ()
    return ("sshd", *(FILTERS if settings.stack.ingress_kind.is_public else ()))


def render_bans(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file of fail2ban for the desired jails."""
    desired = list_jails(settings)
    if not desired:
        return
    # Banning the Load Balancer would ban everybody.
    balancer = filter(None, [settings.balancer_address])
    ignored = dict.fromkeys(
        (*_LOOPBACK, *balancer, *settings.stack.ui_networks, *settings.stack.machine_networks)
    )
    yield (
        JAIL,
        template(
            "fail2ban-jail.conf",
            settings=settings,
            log=LOG if len(desired) > 1 else "",
            ignored=ignored,
            programs=units.SCRIPTS,
        ),
    )
    yield SETS, template("fail2ban-nftables.conf")
    yield NETWORKS, getsource(ban_networks)
    for name, each in FILTERS.items():
        if name in desired:
            yield (
                filter_path(name),
                template(
                    "fail2ban-filter.conf",
                    **each._asdict(),
                    methods="|".join(METHODS_OF_PAGES),
                    uncounted=_UNCOUNTED,
                ),
            )
