"""Configure the host's firewall: one nftables table, loaded on trial and at every boot."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import unified_diff

from pyinfra.api.deploy import deploy
from pyinfra.context import state

from infisical_iac.agent import system
from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.core import units
from infisical_iac.core.agent import Question, inspect, question, together
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.connection import trial_mark, try_change
from infisical_iac.core.errors import Refused
from infisical_iac.core.files import File
from infisical_iac.core.operation import (
    Commands,
    or_up_to_date,
    planned_operation,
    step,
)
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import template
from infisical_iac.host.machine import deployed_question, read_machine
from infisical_iac.host.model import MachineState
from infisical_iac.host.openings import (
    BRIDGES,
    METRICS,
    PRIVATE4,
    PRIVATE6,
    Egress,
    Opening,
    egress,
    openings,
    refuse_openings,
    services_of,
)
from infisical_iac.host.settings import EVERYBODY
from infisical_iac.host.site import Known

TABLE = "inet infisical"
# The text for `nft -f` that deletes the table, whether or not it exists.
EMPTY = f"table {TABLE}\ndelete table {TABLE}\n"

# Link-local addresses, at which clouds serve metadata.
_LINKS4, _LINKS6 = "169.254.0.0/16", "fe80::/10"


def ruleset(openings: Iterable[Opening], egress: Egress | None = None) -> str:
    """Return the text for `nft -f` that replaces the table, if there is one.

    Args:
        egress: the addresses that containers may reach; None to leave that to others.
    """
    listed = tuple(openings)
    # SSH, the traffic between nodes and metrics are for the host itself, not for a container.
    own = ("nodes", METRICS)
    published = [each for each in listed if not each.limited and each.description not in own]
    return template(
        "firewall.nft",
        bridges=BRIDGES,
        input=[rule for each in listed for rule in _input(each)],
        forward=[rule for each in published for rule in _forward(each)],
        egress=[*_egress(egress)] if egress else [],
    )


def fallback(openings: Iterable[Opening]) -> str:
    """Return the text for `nft -f` that lets in only SSH, for when `ruleset` can't be loaded."""
    ssh = [replace(each, limited=False) for each in openings if each.limited]
    return template("firewall-fallback.nft", input=[rule for each in ssh for rule in _input(each)])


def changes(actual: str, desired: str) -> str:
    """Return the unified diff between two listings of the table, without comments."""
    lines = unified_diff(actual.splitlines(), desired.splitlines(), lineterm="", n=0)
    return "\n".join(
        re.sub(r' comment ".*"', "", line.replace("\t", "    "))
        for line in lines
        if not line.startswith(("---", "+++", "@@"))
    )


def _input(opening: Opening) -> Iterator[str]:
    verdict = "goto ssh" if opening.limited else "accept"
    for source in _sources(opening):
        if opening.protocol == "esp":
            yield f"{source}meta l4proto esp {verdict}"
        elif opening.ports:
            yield f"{source}{opening.protocol} dport {_set(opening.ports)} {verdict}"


def _forward(opening: Opening) -> Iterator[str]:
    # Docker has replaced address and port of the destination by the container's.
    # One rule a port: Debian 12's nft can't read its own listing of a set here.
    for port in opening.ports:
        for source in _sources(opening):
            yield (
                f"{source}meta l4proto {opening.protocol} ct status dnat "
                f"ct original proto-dst {port} accept"
            )


def _egress(egress: Egress) -> Iterator[str]:
    """Yield the rules for new connections of containers."""
    # Docker forwards names that it does not know from the container's own address.
    yield "meta l4proto { tcp, udp } th dport 53 accept"
    # Between containers, Docker's own rules decide.
    yield from (f'oifname "{name}" accept' for name in BRIDGES)
    refusal = "reject with icmpx type admin-prohibited"
    yield from (f"ip daddr {_LINKS4} {refusal}", f"ip6 daddr {_LINKS6} {refusal}")
    for address, port in egress.services:
        family = "ip6" if ":" in address else "ip"
        yield f"{f'{family} daddr {address} ' if address else ''}tcp dport {port} accept"
    for family, everybody, private in (
        ("ip", EVERYBODY[0], PRIVATE4),
        ("ip6", EVERYBODY[1], PRIVATE6),
    ):
        networks = [each for each in egress.networks if (":" in each) == (family == "ip6")]
        if everybody in networks:
            continue
        if networks:
            yield f"{family} daddr {_set(networks)} accept"
        yield f"{family} daddr {_set(private)} {refusal}"
    yield "accept"


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


@dataclass(frozen=True)
class FirewallState:
    """The loaded table, the desired one, and the files and units that load it at boot.

    Attributes:
        actual: the table as the host's nft lists it; empty if there is none.
        desired: the desired ruleset as the host's nft lists it; nft's error if it can't load it.
        on_trial: whether the last change has not been proven yet.
        installed: whether nft is installed.
    """

    actual: str = ""
    desired: str = ""
    on_trial: bool = False
    installed: bool = False
    files: dict[str, PathState] = field(default_factory=dict)
    units: dict[str, UnitState] = field(default_factory=dict)


def firewall_question(
    *, ruleset: str, paths: Sequence[str], unit: str, mark: str
) -> Question[FirewallState]:
    """Return the question for the FirewallState.

    Args:
        ruleset: the desired text for `nft -f`.
        paths: of the files to read.
        unit: the unit that loads the ruleset.
        mark: the file that exists while a change is on trial.
    """
    return together(
        lambda table, found, of_units: FirewallState(
            table.actual,
            table.desired,
            mark in found,
            table.installed,
            {path: each for path, each in found.items() if path != mark},
            of_units,
        ),
        question(system.firewall, ruleset=ruleset),
        question(states, paths=[*paths, mark]),
        units.question_for([unit]),
    )


DIRECTORY = "/etc/infisical-iac"
FILE = f"{DIRECTORY}/firewall.nft"
FALLBACK = f"{DIRECTORY}/firewall-fallback.nft"
UNIT = "infisical-firewall.service"
_WHAT = "firewall"
# Of earlier versions.
_SCRIPT = f"{units.SCRIPTS}/firewall.sh"
_OWN_UNITS = (UNIT, "infisical-firewall-fallback.service", "infisical-firewall-failed.service")
DOCKER = f"{units.DIRECTORY}/docker.service.d/infisical-firewall.conf"
# The files to remove with the firewall.
_OWN = [FILE, FALLBACK, _SCRIPT, *(f"{units.DIRECTORY}/{each}" for each in _OWN_UNITS), DOCKER]


def files(openings: Sequence[Opening], egress: Egress | None = None) -> Iterator[File]:
    """Yield the files that load the rules at boot, or the fallback for SSH if that fails."""
    yield File(FILE, ruleset(openings, egress), check="nft --check -f {}")
    yield File(FALLBACK, fallback(openings), check="nft --check -f {}")
    for unit in _OWN_UNITS:
        yield units.unit_file(unit, path=FILE if unit == UNIT else FALLBACK)
    yield File(DOCKER, template("infisical-firewall.conf"))


@planned_operation
def rules(
    openings: Sequence[Opening],
    *,
    machine: MachineState,
    egress: Egress | None = None,
    in_cluster: bool = False,
    after_stack: bool = False,
) -> Commands:
    """Drop all incoming connections except `openings`, now and at every boot.

    Tables of other programs stay. Raises Refused or SettingsError, with nothing changed, if that
    would cut this connection off or break Docker's networks in a Swarm.

    Args:
        egress: the addresses that containers may reach; None to leave that to others.
        in_cluster: whether the host's Swarm, if it is in one, is this project's.
        after_stack: whether to keep the loaded rules while the deployed Infisical needs them.
    """
    if after_stack and _is_needed_still(egress):
        yield UpToDate(_STILL)
        return
    there = inspect(_question(ruleset(openings, egress), [each.path for each in files(openings)]))
    yield from decide(openings, there, machine=machine, egress=egress, in_cluster=in_cluster)


def decide(
    openings: Sequence[Opening],
    there: FirewallState,
    *,
    machine: MachineState,
    egress: Egress | None = None,
    in_cluster: bool = False,
) -> Commands:
    """Decide what to load, by the actual firewall `there`; raises as `rules` does."""
    refuse_openings(
        openings,
        client=machine.ssh_client,
        uplinks=machine.uplinks,
        is_in_swarm=machine.swarm and not in_cluster,
    )
    if there.installed and not there.desired.startswith("table "):
        reason = there.desired.partition("\n")[0] or "it gives no reason"
        raise Refused(f"the host's nft can't load the firewall: {reason}", code="refused.nft")
    yield from or_up_to_date(
        _load_and_install(openings, egress, there), "the firewall is loaded, also at boot"
    )


def _load_and_install(
    openings: Sequence[Opening], egress: Egress | None, there: FirewallState
) -> Commands:
    if there.actual != there.desired or not there.installed or there.on_trial:
        yield Change(
            "~" if there.actual else "+",
            f"firewall, table {TABLE}",
            "on trial → proven" if there.on_trial else "",
            diff=changes(there.actual, there.desired) if there.installed else "",
        )
        yield step(_load, ruleset(openings, egress), there.actual)
    yield from units.install([*files(openings, egress)], there.files, there.units)
    yield from units.bring_up([UNIT], there.units)


@planned_operation
def removal(*, after_stack: bool = False) -> Commands:
    """Remove this project's firewall; tables of other programs stay.

    Args:
        after_stack: whether to keep the firewall while Infisical calls private addresses.
    """
    if after_stack and _is_needed_still(None):
        yield UpToDate(_STILL)
        return
    yield from decide_removal(inspect(_question(EMPTY, _OWN)))


def decide_removal(there: FirewallState) -> Commands:
    """Decide what to remove, by the actual firewall `there`."""
    if there.actual:
        yield Change("-", f"firewall, table {TABLE}")
        yield step(run, f"nft delete table {TABLE}", doing="remove the firewall")
    if there.files:
        for path in there.files:
            yield Change("-", path)
        yield step(run, _WITHOUT_UNIT, doing="keep the firewall from being loaded at boot")
    if not there.actual and not there.files:
        yield UpToDate("there is no firewall of this project")


_STILL = "Infisical still calls addresses by its earlier settings, so the firewall stays unchanged"


def _is_needed_still(egress: Egress | None) -> bool:
    """Return whether the deployed Infisical needs other rules than those of `egress`."""
    # A plan shows the rules that are loaded after the stack has changed.
    if not state.is_executing:
        return False
    if egress is None:
        return read_machine().calls_private
    return not services_of(inspect(deployed_question())) <= {*egress.services}


# Docker requires the unit, so stopping the unit would stop Docker.
_WITHOUT_UNIT = (
    f"rm -f {DOCKER}; systemctl daemon-reload; systemctl --quiet disable --now {UNIT}; "
    f"rm -f {shlex.join(_OWN)}; systemctl daemon-reload"
)


def _question(text: str, paths: Sequence[str]) -> Question[FirewallState]:
    return firewall_question(ruleset=text, paths=paths, unit=UNIT, mark=trial_mark(_WHAT))


def _load(text: str, before: str) -> None:
    """Load a ruleset atomically, on trial; `before` is the listing of the table to roll back to."""
    # The previous table let this connection in, so the rollback restores it. If nft can't read its
    # listing, because somebody else changed the table, the rollback loads the file of the last run.
    # If that fails too, it deletes the table, which lets everything in.
    back = (
        f"printf %s {shlex.quote(EMPTY + before)} | nft -f - || nft -f {FILE} || "
        f"printf %s {shlex.quote(EMPTY)} | nft -f -\n"
    )
    try_change(_WHAT, lambda: run("nft -f -", doing="load the firewall", stdin=text), back=back)


def questions(known: Known) -> Iterator[Question[FirewallState]]:
    """Yield the step's question to the agent, for an Infisical that matches the settings."""
    if known.settings.host.firewall == "off":
        yield _question(EMPTY, _OWN)
        return
    open_ = _openings(known)
    outgoing = egress(known.settings, calls_private=known.machine.calls_private)
    yield _question(ruleset(open_, outgoing), [each.path for each in files(open_)])


def _openings(known: Known) -> tuple[Opening, ...]:
    ports = known.machine.ssh_ports or (22,)
    return openings(known.settings, *ports, peers=known.site.peers)


@deploy("Firewall")
def firewall(known: Known) -> None:
    """Load the firewall of the settings, or remove it where it is off; see `end_egress`.

    The services that the deployed Infisical calls stay reachable, as a later step may keep it.
    """
    _bring_up(known, _read_egress(known))


@deploy("Egress")
def end_egress(known: Known) -> None:
    """Remove the rules that only the previous Infisical needed; called after the stack changed."""
    desired = egress(known.settings)
    if _read_egress(known) != desired:
        _bring_up(known, desired, after_stack=True)


def _read_egress(known: Known) -> Egress | None:
    """Return the addresses that containers may reach until the stack has been changed."""
    calls_private = known.machine.calls_private
    found = egress(known.settings, calls_private=calls_private)
    if found is None or known.settings.host.firewall == "off":
        return found
    former = services_of(inspect(deployed_question()))
    return egress(known.settings, calls_private=calls_private, former=former)


def _bring_up(known: Known, egress: Egress | None, *, after_stack: bool = False) -> None:
    settings = known.settings
    if settings.host.firewall == "off":
        if after_stack or not known.is_restrained:
            removal(after_stack=after_stack, name="Keep this project's firewall off")
        return
    rules(
        openings=_openings(known),
        machine=known.machine,
        egress=egress,
        in_cluster=known.site.in_swarm,
        after_stack=after_stack,
        name="Limit Infisical's outgoing connections"
        if after_stack
        else "Drop connections that the settings don't allow",
    )
