"""Observe packages, systemd's units and schedules, the kernel, the firewall, bans and mounts.

Also add repositories of packages.
"""

import json
import re
import time
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import pairwise
from os.path import lexists
from pathlib import Path
from tempfile import TemporaryDirectory

from infisical_iac.agent.files import write
from infisical_iac.agent.runner import Failure, Runner, action, failure_of, observation


@observation
def packages(runner: Runner, *, names: Sequence[str]) -> frozenset[str]:
    """Return which packages are installed and configured, including held packages."""
    query = ("dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\\n")
    # dpkg-query fails if a package is unknown, and prints the others.
    found = (line.split() for line in runner.run([*query, *names]).text.splitlines())
    return frozenset(name for status, name in found if status in ("ii", "hi"))


_NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "a"}
_KEEP_FILES = (
    "--option=Dpkg::Options::=--force-confdef",
    "--option=Dpkg::Options::=--force-confold",
)
_LISTS_LOCK = "/var/lib/apt/lists/lock"
_REFRESHES = 3
_INSTALL_SECONDS = 3600


@action
def install_packages(runner: Runner, *, names: Sequence[str], seconds: int) -> None:
    """Install packages.

    Args:
        seconds: the longest wait for the locks of another apt, such as the daily one that a host's
            first boot starts.

    Raises RuntimeError with a Failure.
    """
    options = [
        "--quiet=2",
        f"--option=DPkg::Lock::Timeout={seconds}",
        "--option=Acquire::Retries=3",
    ]
    _refresh_lists(runner, ["apt-get", *options, "--error-on=any", "update"], seconds)
    install = ["apt-get", *options, "--yes", "--no-install-recommends", *_KEEP_FILES, "install"]
    runner.must_run(
        [*install, *names], seconds=seconds + _INSTALL_SECONDS, environment=_NONINTERACTIVE
    )


def _refresh_lists(runner: Runner, command: Sequence[str], seconds: int) -> None:
    """Refresh the lists of packages; try again, because mirrors fail while they are updated."""
    end, failures = time.monotonic() + seconds, 0
    while True:
        done = runner.run(command, seconds=_INSTALL_SECONDS, environment=_NONINTERACTIVE)
        if done.status == 0:
            return
        said = f"{done.text}{done.errors}"
        # DPkg::Lock::Timeout is for dpkg's lock; apt has no timeout for the lock of the lists.
        is_locked = _LISTS_LOCK in said
        failures += not is_locked
        if failures >= _REFRESHES or (is_locked and time.monotonic() >= end):
            raise failure_of(said)
        time.sleep(3)


@dataclass(frozen=True)
class UnitState:
    """The state of a unit.

    Attributes:
        condition: False if systemd skips the unit because of its own conditions, such as time
            synchronization in a container.
        outdated: whether its unit files were changed since systemd read them.
        started: the time when its main process started, or when a unit without one, such as a
            socket, became active, in seconds since the epoch; 0.0 for never.
        configured: the time when the newest of its configuration files was written, likewise.
    """

    loaded: bool
    active: bool
    enabled: bool
    condition: bool = True
    outdated: bool = False
    started: float = 0.0
    configured: float = 0.0

    @property
    def stale(self) -> bool:
        """True if the unit runs with an older configuration than the one on disk."""
        return self.active and self.configured > self.started


_PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload"),
    *("ConditionResult", "ConditionTimestamp", "ExecMainStartTimestamp", "ActiveEnterTimestamp"),
)


@observation
def units(
    runner: Runner, *, names: Sequence[str], config: Mapping[str, Sequence[str]] = {}
) -> dict[str, UnitState]:
    """Return the state of each unit.

    Args:
        config: the files that a unit reads at its start, by the name of the unit.
    """
    properties = f"--property={','.join(_PROPERTIES)}"
    shown = runner.run(["systemctl", "show", "--timestamp=us", properties, "--", *names]).text
    blocks = (
        dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")
    )
    return {
        block["Id"]: _unit(block, _newest_write(runner, config.get(block["Id"], ())))
        for block in blocks
        if "Id" in block
    }


def _unit(block: Mapping[str, str], configured: float) -> UnitState:
    return UnitState(
        loaded=block.get("LoadState") == "loaded",
        active=block.get("ActiveState") == "active",
        enabled=block.get("UnitFileState") in ("enabled", "static"),
        # systemd reports "no" also for a unit that was never started.
        condition=block.get("ConditionResult") != "no" or not block.get("ConditionTimestamp"),
        outdated=block.get("NeedDaemonReload") == "yes",
        started=_seconds(
            block.get("ExecMainStartTimestamp", block.get("ActiveEnterTimestamp", ""))
        ),
        configured=configured,
    )


def _seconds(timestamp: str) -> float:
    if not timestamp or timestamp == "n/a":
        return 0.0
    moment = datetime.strptime(timestamp, "%a %Y-%m-%d %H:%M:%S.%f UTC")
    return moment.replace(tzinfo=UTC).timestamp()


def _newest_write(runner: Runner, paths: Sequence[str]) -> float:
    """Return when the newest of the files was written; 0.0 if there is none."""
    files = (runner.path(path) for path in paths)
    return max((each.lstat().st_mtime for each in files if lexists(each)), default=0.0)


@observation
def refused_schedules(runner: Runner, *, schedules: Sequence[str]) -> frozenset[str]:
    """Return those schedules that systemd does not understand; all of them without systemd."""
    return frozenset(
        each
        for each in schedules
        if runner.run(["systemd-analyze", "calendar", "--", each]).status != 0
    )


@dataclass(frozen=True)
class KernelState:
    """The kernel's parameters by name, and swap devices that would hold memory in clear.

    Attributes:
        core_limit: the size of core dumps, in bytes, that systemd allows its services.
    """

    parameters: dict[str, str] = field(default_factory=dict)
    core_limit: str = ""
    swap: tuple[str, ...] = ()


@observation
def kernel(runner: Runner, *, parameters: Sequence[str]) -> KernelState:
    """Return the named parameters that the kernel has, the core limit and swap in clear.

    Swap on a device-mapper crypt target is encrypted; zram never leaves memory.
    """
    read = ((name, runner.text(f"/proc/sys/{name.replace('.', '/')}")) for name in parameters)
    limit = runner.run(["systemctl", "show", "--property=DefaultLimitCORE", "--value"]).text
    return KernelState(
        {name: value.strip() for name, value in read if value is not None},
        limit.strip(),
        tuple(_swap_in_clear(runner)),
    )


def _swap_in_clear(runner: Runner) -> Iterator[str]:
    lines = (runner.text("/proc/swaps") or "").splitlines()[1:]
    for device in (line.split()[0] for line in lines):
        if not device.startswith("/dev/zram"):
            query = ["lsblk", "--inverse", "--noheadings", "--output", "TYPE", "--", device]
            if "crypt" not in runner.run(query).text:
                yield device


@observation
def lines(runner: Runner, *, command: str) -> list[str]:
    """Return the lines that a shell command prints, for state that no Python here observes yet.

    The command is passed on standard input, so that neither `ps` nor a log shows it. Its own
    standard input is empty. Raises RuntimeError with a Failure if it fails.
    """
    # The shell reads the whole block before it runs any of it.
    block = f"{{ {command}\n}} </dev/null\n"
    done = runner.run(["sh", "-s"], stdin=block)
    if done.status != 0:
        said = " / ".join(done.errors.splitlines()[-3:]) or "no reason given"
        raise RuntimeError(Failure("command", f"could not inspect the host: {said}"))
    return done.text.splitlines()


# Omits state that changes by itself: the counters of limits, and the remembered sources.
_LIST = "nft --stateless --terse list table inet infisical"


@dataclass(frozen=True)
class Table:
    """The firewall's table.

    Attributes:
        installed: whether nft is installed.
        actual: the table as the host's nft lists it; empty if there is none.
        desired: the desired ruleset as the host's nft lists it; nft's error if it can't load it.
    """

    installed: bool
    actual: str
    desired: str


@observation
def firewall(runner: Runner, *, ruleset: str) -> Table:
    """Return the firewall's actual table, and the table that a ruleset for `nft -f` would make.

    The ruleset is loaded and listed in a network namespace of its own, where it affects nothing.
    This is necessary because only listings of the same nft can be compared.
    """
    actual = runner.run(_LIST.split())
    apart = runner.run(["unshare", "--net", "sh", "-c", f"nft -f - && {_LIST}"], stdin=ruleset)
    return Table(
        installed=actual.status != 127,
        actual="\n".join(actual.lines),
        desired=(apart.text + apart.errors).rstrip("\n"),
    )


@dataclass(frozen=True)
class Bans:
    """The active jails of fail2ban, and its bans that are not enforced.

    Attributes:
        jails: the names of the active jails.
        unenforced: the banned IPv4 addresses and IPv6 networks that nftables lets in.
    """

    jails: frozenset[str] = frozenset()
    unenforced: frozenset[str] = frozenset()


_PROMPT = "fail2ban> "
_SECONDS = "20"


@observation
def bans(runner: Runner) -> Bans:
    """Return the jails of fail2ban, and the bans that nftables lacks; none if it does not run."""
    # One client for both questions, because each one starts a new Python.
    client = ["timeout", _SECONDS, "fail2ban-client", "-i"]
    said = runner.run(client, stdin="status\nbanned\n")
    listed = runner.run(["nft", "--json", "list", "table", "inet", "f2b-table"])
    jails: frozenset[str] = frozenset()
    banned = jails
    for line in said.text.splitlines():
        if found := re.search(r"Jail list:\s*(\S.*)", line):
            jails = frozenset(re.split(r",\s*", found[1].strip()))
        elif line.startswith(f"{_PROMPT}["):
            of_jails = [jail.values() for jail in literal_eval(line.removeprefix(_PROMPT))]
            banned = _networks(each for lists in of_jails for some in lists for each in some)
    return Bans(jails, banned - _list_enforced(listed.text))


def _list_enforced(listing: str) -> frozenset[str]:
    """Return the addresses and networks in the sets of a table, as nft lists it in JSON."""
    if not listing.startswith('{"nftables"'):
        return frozenset()
    sets = [each["set"] for each in json.loads(listing)["nftables"] if "set" in each]
    return _networks(_text(each) for one in sets for each in one.get("elem", ()))


def _text(element: str | dict[str, dict[str, object]]) -> str:
    """Return an element of an nft set as text; it is an address or a prefix."""
    if isinstance(element, str):
        return element
    return "{addr}/{len}".format(**element["prefix"])


def _networks(found: Iterable[str]) -> frozenset[str]:
    """Return addresses and networks in their canonical form, so that they can be compared."""
    return frozenset(
        str(ip_network(each)).removesuffix("/32").removesuffix("/128") for each in found
    )


@action
def add_repository(
    runner: Runner, *, key_url: str, fingerprint: str, key_file: str, list_file: str, line: str
) -> None:
    """Add an apt repository.

    Its key is installed only if the downloaded file has exactly one, with that fingerprint. Raises
    RuntimeError with a Failure.
    """
    fetch = ("curl", "--silent", "--show-error", "--fail", "--location", "--max-time", "30")
    with TemporaryDirectory() as folder:
        downloaded = f"{folder}/key.asc"
        runner.must_run([*fetch, "--output", downloaded, key_url])
        shown = runner.must_run(["gpg", "--batch", "--show-keys", "--with-colons", downloaded])
        fields = [each.split(":") for each in shown.splitlines()]
        # The fingerprint of a key, of which each subkey has one too, is in the next line.
        pairs = pairwise(fields)
        found = [after[9] for each, after in pairs if (each[0], after[0]) == ("pub", "fpr")]
        if found != [fingerprint]:
            said = ", ".join(found) or "none"
            message = f"the key at {key_url} has the fingerprint {said} instead of {fingerprint}"
            raise RuntimeError(Failure("command", message))
        write(runner.path(key_file), Path(downloaded).read_bytes(), mode=0o644)
    write(runner.path(list_file), f"{line}\n".encode(), mode=0o644)


@observation
def is_mounted(runner: Runner, *, place: str) -> bool:
    """Return whether a directory is the mount point of a file system."""
    return runner.path(place).is_mount()
