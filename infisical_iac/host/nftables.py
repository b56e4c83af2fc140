"""The openings as a ruleset of nftables: one table of its own, `inet infisical`."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import unified_diff
from fnmatch import fnmatchcase
from ipaddress import ip_address

from infisical_iac.core.errors import UserError
from infisical_iac.core.rendering import template
from infisical_iac.host.openings import Opening
from infisical_iac.host.settings import EVERYBODY

TABLE = "inet infisical"
# The text for `nft -f` that takes the table away, whether it is there or not.
EMPTY = f"table {TABLE}\ndelete table {TABLE}\n"
# How Docker names its bridges, unless a network is given another name: what comes from them comes
# from a container.
BRIDGES = ("docker0", "docker_gwbridge", "br-*")


class FirewallError(UserError):
    """The firewall can't be what the settings say without doing harm."""


def ruleset(openings: Iterable[Opening]) -> str:
    """The text for `nft -f`, which puts the table in the place of the one that is there, if any."""
    listed = tuple(openings)
    return template(
        "firewall.nft",
        bridges=BRIDGES,
        input=[rule for each in listed for rule in _input(each)],
        forward=[rule for each in listed if _is_published(each) for rule in _forward(each)],
    )


def fallback(openings: Iterable[Opening]) -> str:
    """Return the text for `nft -f` that lets in SSH alone, for where `ruleset` can't be loaded."""
    ssh = [replace(each, limited=False) for each in openings if each.limited]
    return template("firewall-fallback.nft", input=[rule for each in ssh for rule in _input(each)])


def changes(actual: str, wanted: str) -> str:
    """The unified diff from one listing of the table to another, without comments of others."""
    lines = unified_diff(actual.splitlines(), wanted.splitlines(), lineterm="", n=0)
    return "\n".join(
        re.sub(r' comment ".*"', "", line.replace("\t", "    "))
        for line in lines
        if not line.startswith(("---", "+++", "@@"))
    )


def refuse(
    openings: Iterable[Opening], *, client: str, uplinks: Iterable[str], is_in_swarm: bool = False
) -> None:
    """Raise FirewallError if a firewall with `openings` would lock out, or do other harm.

    Args:
        client: the address that the host sees the live connection come from, empty without one.
        uplinks: the names of the interfaces that have a default route.
        is_in_swarm: whether the host's Docker is, in one that is not this project's.
    """
    if is_in_swarm:
        raise FirewallError(
            "Docker on the host is in a Swarm, as Dokploy has it, whose ports this firewall would "
            'close: set firewall = "off", and let a firewall in front of the host do the work'
        )
    ssh = [each for each in openings if each.limited]
    if client and not _is_own(client) and not any(each.admits(client) for each in ssh):
        raise FirewallError(
            f"setting 'ssh_networks' does not have {client}, which this connection comes from: "
            "add a network that it is in, or nobody could connect from here any more"
        )
    for name in uplinks:
        if any(fnmatchcase(name, pattern) for pattern in BRIDGES):
            raise FirewallError(
                f"the host's way out is the interface {name}, which is named as Docker names its "
                "bridges, so that the firewall can't tell the outside from containers: give it "
                'another name, or set firewall = "off"'
            )


def _is_own(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


def _input(opening: Opening) -> Iterator[str]:
    verdict = "goto ssh" if opening.limited else "accept"
    for source in _sources(opening):
        if opening.protocol == "esp":
            yield f"{source}meta l4proto esp {verdict}"
        elif opening.ports:
            yield f"{source}{opening.protocol} dport {_set(opening.ports)} {verdict}"


def _is_published(opening: Opening) -> bool:
    # SSH and what the nodes tell each other is the host's own, no container's.
    return not opening.limited and opening.description != "nodes"


def _forward(opening: Opening) -> Iterator[str]:
    # Docker has put a container's address and port in the place of those that were asked for.
    # Each port has a rule: Debian 12's nft can't read what it lists of a set of these.
    for port in opening.ports:
        for source in _sources(opening):
            yield (
                f"{source}meta l4proto {opening.protocol} ct status dnat "
                f"ct original proto-dst {port} accept"
            )


def _sources(opening: Opening) -> Iterator[str]:
    if set(opening.networks) == set(EVERYBODY):
        yield ""
        return
    for family, number, networks in (("ip", 4, opening.ipv4), ("ip6", 6, opening.ipv6)):
        if set(networks) & set(EVERYBODY):
            yield f"meta nfproto ipv{number} "
        elif networks:
            yield f"{family} saddr {_set(networks)} "


def _set(elements: Iterable[object]) -> str:
    return f"{{ {', '.join(map(str, elements))} }}"
