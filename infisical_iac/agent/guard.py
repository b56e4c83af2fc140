"""Observe the firewall of this project, fail2ban with its bans, and mount points."""

import json
import re
from ast import literal_eval
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from infisical_iac.agent.runner import Runner, observation

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
    """Return the firewall's actual table, and the one that a ruleset for `nft -f` would make.

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
    # The client starts a new Python: one for both questions.
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


@observation
def is_mounted(runner: Runner, *, place: str) -> bool:
    """Return whether a directory is the mount point of a file system."""
    return runner.path(place).is_mount()
