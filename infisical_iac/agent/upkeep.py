"""Observe what a host needs over weeks: logins, security upgrades, repositories and releases.

What is dear to find out is asked at intervals, so each observation takes the last one along.
"""

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from infisical_iac.agent.canary import CanaryTarget, connect, name_failure
from infisical_iac.agent.health import RELEASES, parse_moment, run_shortly, time_of_change
from infisical_iac.agent.runner import Runner

_BAN_LOG = "/var/log/fail2ban.log"
# fail2ban logs "Found" for a failed login, and "Ban"; "Restore Ban" repeats one after its start.
_LINE = re.compile(
    r"(?P<at>\d\S+ \d\S+),\d+ fail2ban\.\w+ +\[\d+\]: +[A-Z]+ +\[(?P<jail>[\w-]+)\] "
    r"(?P<what>Found|Ban) \S+(?: - (?P<event>\d\S+ \d\S+))?\s*$"
)
# What it reads again after a start is older.
_LATE_SECONDS = 60
# A run reads at most this much of the log.
_MOST_BYTES = 4 * 1024**2
_KEPT_HOURS = 7 * 24
# The jails of this project whose findings are failed logins; another one counts all logins.
LOGIN_JAILS = ("sshd", "infisical-login")
JAILS = (*LOGIN_JAILS, "infisical-calls")
_HOUR = 3600

# apt reads all lists of packages for an answer.
_UPGRADES_SECONDS = 12 * _HOUR
_APT_SECONDS = 60
_UPGRADE = re.compile(r"^Inst (\S+) .*-security[ ,]", re.IGNORECASE | re.MULTILINE)
_DPKG = "/var/lib/dpkg/status"
_LISTS = "/var/lib/apt/periodic/update-stamp"

_PROBE_SECONDS = 290
_ANSWER_SECONDS = 8


@dataclass(frozen=True)
class WatchedRepository:
    """A repository of backups, and how to see that it answers.

    Attributes:
        target: the name of its target.
        kind: `directory`, `http` or `ssh`.
        place: a path, an address, or a name and port such as `u1.example.com:23`.
    """

    target: str
    kind: str
    place: str


@dataclass(frozen=True)
class NewerRelease:
    """A newer release of an image, as `infisical-iac outdated --keep` found it.

    Attributes:
        pinned, newest: the tags of the image in the settings and of the newest release.
        security: what the notes of the releases in between say about security; empty for nothing.
    """

    name: str
    pinned: str
    newest: str
    security: str = ""


@dataclass(frozen=True)
class ReleaseRecord:
    """The last result of `infisical-iac outdated --keep`."""

    at: float
    newer: tuple[NewerRelease, ...] = ()


# An hour since the epoch, with the failed logins and the bans in it.
Hour = tuple[int, int, int]


@dataclass(frozen=True)
class Upkeep:
    """The upkeep that a host needs over weeks. Times are in seconds since the epoch.

    Attributes:
        inode, offset: up to where fail2ban's log was read.
        hours: by jail, the last week's hours.
        upgrades: since when a security upgrade of a package is known, by its name.
        asked_at: when apt was asked for them; 0.0 for never.
        lists_at: when apt last updated its lists of packages; None if that is unknown.
        repositories: when each was last asked and why it did not answer, by its target.
        releases: the last result of `infisical-iac outdated --keep`; None if there is none.
    """

    inode: int = 0
    offset: int = 0
    hours: Mapping[str, Sequence[Hour]] = field(default_factory=dict)
    upgrades: Mapping[str, float] = field(default_factory=dict)
    asked_at: float = 0.0
    lists_at: float | None = None
    repositories: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    releases: ReleaseRecord | None = None


def parse_upkeep(found: Mapping[str, Any]) -> Upkeep:
    """Return the observation in the JSON of a state. Raises as its parts do for another text.

    The time of the lists and the releases are read again each time.
    """
    return Upkeep(
        found["inode"],
        found["offset"],
        {
            jail: [(hour, failures, bans) for hour, failures, bans in hours]
            for jail, hours in found["hours"].items()
        },
        found["upgrades"],
        found["asked_at"],
        None,
        {target: (at, why) for target, (at, why) in found["repositories"].items()},
    )


def observe(
    runner: Runner,
    last: Upkeep,
    now: float,
    *,
    repositories: Sequence[WatchedRepository] = (),
    authorities: Sequence[str] = (),
) -> Upkeep:
    """Return what the host needs now.

    Args:
        last: the last observation.
        repositories: those to ask.
        authorities: files of further authorities, in PEM.
    """
    found = _read_ban_log(runner, last, now)
    # dpkg writes this file in each installation, which may have been one of those.
    is_settled = (time_of_change(runner, _DPKG) or 0) < last.asked_at or not last.upgrades
    if not (is_settled and 0 <= now - last.asked_at < _UPGRADES_SECONDS):
        found = _ask_for_upgrades(runner, found, now)
    return replace(
        found,
        lists_at=time_of_change(runner, _LISTS),
        repositories=_ask_repositories(runner, last, now, repositories, authorities),
        releases=parse_releases(runner.text(RELEASES) or "{}"),
    )


def _read_ban_log(runner: Runner, last: Upkeep, now: float) -> Upkeep:
    """Return the last observation with what fail2ban has logged since; its first run reads none."""
    path = runner.path(_BAN_LOG)
    try:
        with path.open("rb") as file:
            status = path.stat()
            is_known = status.st_ino == last.inode and last.offset <= status.st_size
            # A rotated log is a new file, and what was added to the old one meanwhile is lost.
            start = last.offset if is_known else 0 if last.inode else status.st_size
            file.seek(max(start, status.st_size - _MOST_BYTES))
            text = file.read(_MOST_BYTES)
            # The rest of a line is read once it is complete.
            whole = text[: text.rfind(b"\n") + 1]
            offset = file.tell() - len(text) + len(whole)
    except OSError:
        return last
    hours = count_attempts(last.hours, whole.decode(errors="replace"), now)
    return replace(last, inode=status.st_ino, offset=offset, hours=hours)


def count_attempts(
    hours: Mapping[str, Sequence[Hour]], text: str, now: float
) -> dict[str, list[Hour]]:
    """Return the hours of each jail with the lines of a log added to the present one."""
    found = dict.fromkeys(JAILS, (0, 0))
    for line in map(_LINE.match, text.splitlines()):
        if line and line["jail"] in found and not _is_read_again(line["at"], line["event"]):
            failures, bans = found[line["jail"]]
            is_failure = line["what"] == "Found"
            found[line["jail"]] = failures + is_failure, bans + (not is_failure)
    present = int(now // _HOUR)
    counted: dict[str, list[Hour]] = {}
    for jail, (failures, bans) in found.items():
        known = [each for each in hours.get(jail, ()) if 0 <= present - each[0] < _KEPT_HOURS]
        if known and known[-1][0] == present:
            _, more_failures, more_bans = known.pop()
            failures, bans = failures + more_failures, bans + more_bans
        counted[jail] = [*known, (present, failures, bans)]
    return counted


def find_excess(
    hours: Sequence[Hour], column: Literal[1, 2], now: float, *, least: int, times: float
) -> tuple[int, float] | None:
    """Return the number in this hour or the last one, and the usual one, if it is far above.

    The usual number is the mean of the hours before, and at least `least`. As long as fewer than 24
    hours are known, it is taken for ten times `least`.

    Args:
        column: 1 for failed logins, 2 for bans.
        times: how many times the usual number is too many.
    """
    present = int(now // _HOUR)
    recent = max((each[column] for each in hours if present - each[0] <= 1), default=0)
    earlier = [each for each in hours if present - each[0] > 1]
    usual = 10.0 * least
    if earlier and present - earlier[0][0] >= 24:
        usual = max(float(least), sum(each[column] for each in earlier) / len(earlier))
    return (recent, usual) if recent > times * usual else None


def _is_read_again(logged: str, event: str | None) -> bool:
    if event is None:
        return False
    times = [datetime.strptime(each, "%Y-%m-%d %H:%M:%S") for each in (logged, event)]
    return (times[0] - times[1]).total_seconds() > _LATE_SECONDS


def _ask_for_upgrades(runner: Runner, last: Upkeep, now: float) -> Upkeep:
    # Needs no lock of apt's. Packages that the operator holds back are left out.
    asked = ["apt-get", "--simulate", "--quiet=2", "dist-upgrade"]
    said = run_shortly(runner, asked, seconds=_APT_SECONDS)
    if said.status != 0:
        return replace(last, asked_at=now)
    names = _UPGRADE.findall(said.text)
    return replace(
        last, asked_at=now, upgrades={name: last.upgrades.get(name, now) for name in names}
    )


def _ask_repositories(
    runner: Runner,
    last: Upkeep,
    now: float,
    repositories: Sequence[WatchedRepository],
    authorities: Sequence[str],
) -> dict[str, tuple[float, str]]:
    """Return when each was last asked, and why it did not answer; those that failed first again."""
    known = {each.target: last.repositories.get(each.target) for each in repositories}
    answers = {name: answer for name, answer in known.items() if answer}
    due = [
        each
        for each in repositories
        if not (answer := answers.get(each.target))
        or answer[1]
        or not 0 <= now - answer[0] < _PROBE_SECONDS
    ]
    if not due:
        return answers
    with ThreadPoolExecutor(len(due)) as pool:
        said = pool.map(lambda each: ask_repository(runner, each, authorities), due)
        return answers | {each.target: (now, why) for each, why in zip(due, said, strict=True)}


def ask_repository(
    runner: Runner, asked: WatchedRepository, authorities: Sequence[str] = ()
) -> str:
    """Return why a repository does not answer; empty if it does.

    Only the daily backup proves the login there.
    """
    if asked.kind == "directory":
        there = runner.path(f"{asked.place}/config").exists()
        return "" if there else f"there is no repository at {asked.place}"
    try:
        if asked.kind == "ssh":
            name, _, port = asked.place.rpartition(":")
            with socket.create_connection((name, int(port)), _ANSWER_SECONDS) as made:
                greeting = made.recv(4)
            return "" if greeting == b"SSH-" else "another server than SSH answers"
        with closing(connect(CanaryTarget(asked.place, authorities=authorities))) as made:
            made.request("GET", urlsplit(asked.place).path or "/", headers=_HEADERS)
            status = made.getresponse().status
        # It refuses a request without a login, which is an answer.
        return f"HTTP {status}" if status >= 500 else ""
    except (OSError, http.client.HTTPException) as error:
        return name_failure(error)


_HEADERS = {"User-Agent": "infisical-iac"}


def parse_releases(text: str) -> ReleaseRecord | None:
    """Return the record in the text of its file; None for another text."""
    try:
        found = json.loads(text)
        at = parse_moment(str(found["at"]))
        return None if at is None else ReleaseRecord(at, tuple(_releases(found["newer"])))
    except (ValueError, KeyError, TypeError):
        return None


def _releases(found: Sequence[Mapping[str, str]]) -> Iterator[NewerRelease]:
    for each in found:
        yield NewerRelease(each["name"], each["pinned"], each["newest"], each["security"])
