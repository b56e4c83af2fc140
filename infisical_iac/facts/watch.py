"""Read what the host has to log who asks Infisical, and to ban who asks too often."""

import json
import re
import shlex
from ast import literal_eval
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network

from pyinfra.api.facts import FactBase

from infisical_iac.facts.files import Paths, PathState, reading
from infisical_iac.facts.units import Units, UnitState

_BANS, _UNITS = "bans:", "units:"
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


class Watch(FactBase[WatchState]):
    """The WatchState.

    Args:
        config: the files that a unit reads at its start, by its name.
        live: where the log's file system is to be mounted.
    """

    def command(
        self, paths: list[str], units: list[str], config: dict[str, list[str]], live: str
    ) -> str:
        return (
            f"{reading(shlex.join(paths))}; echo {_BANS}; "
            f"! mountpoint --quiet {shlex.quote(live)} || echo {_MOUNTED}; "
            "printf 'status\\nbanned\\n' | timeout 20 fail2ban-client -i 2>/dev/null; echo; "
            "nft --json list table inet f2b-table 2>/dev/null; "
            f"echo; echo {_UNITS}; {Units().command(units, config)}"
        )

    def process(self, output: list[str]) -> WatchState:
        bans, units = output.index(_BANS), output.index(_UNITS)
        told = output[bans + 1 : units]
        return WatchState(
            Paths().process(output[:bans]),
            Units().process(output[units + 1 :]),
            _jails(told),
            _banned(told) - _enforced(told),
            _MOUNTED in told,
        )

    @staticmethod
    def default() -> WatchState:
        return WatchState()


def _jails(output: Iterable[str]) -> frozenset[str]:
    for line in output:
        if found := re.search(r"Jail list:\s*(\S.*)", line):
            return frozenset(re.split(r",\s*", found[1].strip()))
    return frozenset()


def _banned(output: Iterable[str]) -> frozenset[str]:
    for line in output:
        if line.startswith(f"{_PROMPT}["):
            by_jail = literal_eval(line.removeprefix(_PROMPT))
            return _networks(each for jail in by_jail for some in jail.values() for each in some)
    return frozenset()


def _enforced(output: Iterable[str]) -> frozenset[str]:
    for line in output:
        if line.startswith('{"nftables"'):
            sets = [each["set"] for each in json.loads(line)["nftables"] if "set" in each]
            return _networks(_text(each) for one in sets for each in one.get("elem", ()))
    return frozenset()


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
