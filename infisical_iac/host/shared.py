"""Decide which parts of a host this project manages if others use its Docker too.

An engine is somebody else's if it is in another Swarm, such as Dokploy's, or if it runs containers
of others, such as Coolify's, and this project has not configured it. There the settings with the
value `auto` are off: they concern SSH, kernel, firewall and reboots of everything on the host.
"""

import re
from collections.abc import Iterable

from infisical_iac.agent.others import OtherContainers
from infisical_iac.core.settings import Settings
from infisical_iac.core.wording import join_first, join_names
from infisical_iac.host.model import MachineState

AUTO = "auto"
WINDOW = "Sun *-*-* 05:00:00"

# By setting, the meanings of `auto` on a host of Infisical's own, and on a shared one.
OWN = {"hardening": "on", "firewall": "on", "fail2ban": "on", "maintenance_window": WINDOW}
SHARED = {"hardening": "off", "firewall": "off", "fail2ban": "off", "maintenance_window": ""}
MANAGED = tuple(OWN)

# The program that runs containers of these names.
_PROGRAMS = {"Dokploy": re.compile(r"dokploy\b.*"), "Coolify": re.compile(r"coolify\b.*")}
_SHOWN = 3


def describe(others: OtherContainers) -> str:
    """Return the names of the other containers: `Dokploy`, or `web, db and 2 more`."""
    return describe_others(others.names) or "a Swarm"


def describe_others(names: Iterable[str]) -> str:
    """Return the program whose containers these are, or the first of their names."""
    known = [*names]
    for program, pattern in _PROGRAMS.items():
        if any(map(pattern.fullmatch, known)):
            return program
    return join_first(known, _SHOWN)


def not_ours(settings: Settings, machine: MachineState) -> str:
    """Return why the engine stays unchanged, as a clause; empty if it is this project's."""
    # On a cluster, a check before has made sure that the Swarm is this project's.
    if machine.swarm and settings.cluster.topology == "single":
        return "Docker on the host is in a Swarm, so it stays unchanged"
    if owner := settings.stack.ingress_kind.engine_owner:
        return f"Docker on the host is {owner} (setting 'ingress'), so it stays unchanged"
    if machine.others and settings.cluster.topology == "single":
        return (
            f"Docker on the host runs other containers ({describe_others(machine.others)}), so it "
            "stays unchanged"
        )
    return ""


def is_shared(settings: Settings, machine: MachineState) -> bool:
    """Return whether the host is shared, so that `auto` means off.

    A host that this project has set up stays its own, whatever is started there later.
    """
    return bool(not_ours(settings, machine)) and not machine.own_engine and not machine.clustered


def resolve_auto(settings: Settings, machine: MachineState) -> Settings:
    """Return the settings with each `auto` replaced by its meaning on this host."""
    values = SHARED if is_shared(settings, machine) else OWN
    return settings.with_values(**{name: values[name] for name in _list_auto(settings)})


def describe_left(settings: Settings, machine: MachineState) -> str:
    """Return a sentence on the features that `auto` leaves off on a shared host; empty for none.

    Args:
        settings: as they are written, before `resolve_auto`.
    """
    names = _list_auto(settings) if is_shared(settings, machine) else []
    if not names:
        return ""
    # The firewall would close the ports of a Swarm.
    set_on = [name for name in names if not (name == "firewall" and machine.swarm)]
    how = join_names(f'{name} = "{OWN[name]}"' for name in set_on)
    return (
        f"{not_ours(settings, machine)}; {join_names(names)} {'are' if names[1:] else 'is'} off "
        f"for the same reason{f': to turn on what you want, set {how}' if how else ''}"
    )


def _list_auto(settings: Settings) -> list[str]:
    return [name for name in MANAGED if settings.value_of(name) == AUTO]
