"""The host's firewall: one table of nftables, loaded on trial, and again at every boot."""

import shlex
from collections.abc import Iterator, Sequence

from pyinfra.context import host

from infisical_iac.core import journal, units
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script_file, template
from infisical_iac.facts.firewall import Firewall, FirewallState
from infisical_iac.host.machine import MachineState
from infisical_iac.host.nftables import (
    EMPTY,
    TABLE,
    FirewallError,
    changes,
    fallback,
    refuse,
    ruleset,
)
from infisical_iac.host.openings import Opening
from infisical_iac.host.trial import mark, tried

DIRECTORY = "/etc/infisical-iac"
FILE = f"{DIRECTORY}/firewall.nft"
FALLBACK = f"{DIRECTORY}/firewall-fallback.nft"
UNIT = "infisical-firewall.service"
_WHAT = "firewall"
_SCRIPTS = "/usr/local/lib/infisical-iac"
_SCRIPT = f"{_SCRIPTS}/firewall.sh"
_UNITS = (UNIT, "infisical-firewall-fallback.service", "infisical-firewall-failed.service")
DOCKER = f"{units.DIRECTORY}/docker.service.d/infisical-firewall.conf"
# All but reporting.sh, which backups have too.
_OWN = [FILE, FALLBACK, _SCRIPT, *(f"{units.DIRECTORY}/{each}" for each in _UNITS), DOCKER]


def files(openings: Sequence[Opening]) -> Iterator[File]:
    """Yield the files that load the rules at boot, and that let in SSH alone where that fails."""
    yield File(FILE, ruleset(openings), check="nft --check -f {}")
    yield File(FALLBACK, fallback(openings), check="nft --check -f {}")
    for part in ("firewall", "reporting"):
        yield File(f"{_SCRIPTS}/{part}.sh", script_file(part))
    for unit in _UNITS:
        path = FILE if unit == UNIT else FALLBACK
        text = template(unit, path=path, script=_SCRIPT)
        yield File(f"{units.DIRECTORY}/{unit}", text)
    yield File(DOCKER, template("infisical-firewall.conf"))


@telling_operation
def kept(
    openings: Sequence[Opening], *, machine: MachineState, in_cluster: bool = False
) -> Commands:
    """Let in what is among `openings` and nothing else, now and from the next boot's beginning.

    Args:
        in_cluster: whether the Swarm that the host may be in is this project's.

    What other programs have in tables of their own stays. Raises FirewallError, with nothing
    changed, where that would lock out whoever is connected, or break what Docker does in a Swarm.
    """
    refuse(
        openings,
        client=machine.ssh_client,
        uplinks=machine.uplinks,
        is_in_swarm=machine.swarm and not in_cluster,
    )
    text = ruleset(openings)
    there = _look(text, [each.path for each in files(openings)])
    if there.installed and not there.wanted.startswith("table "):
        reason = there.wanted.partition("\n")[0] or "it gives no reason"
        raise FirewallError(f"the host's nft can't load the firewall: {reason}")
    if there.actual != there.wanted or not there.installed or there.on_trial:
        journal.item(
            "~" if there.actual else "+",
            f"firewall, table {TABLE}",
            "on trial → proven" if there.on_trial else "",
            changes(there.actual, there.wanted) if there.installed else "",
        )
        yield step(_load, text, there.actual)
    yield from units.installed([*files(openings)], there.files, there.units)
    yield from units.brought_up([UNIT], there.units)
    if not journal.current().current.items:
        host.noop("the firewall is loaded, and will be at boot")


@telling_operation
def removed() -> Commands:
    """Take this project's firewall away; what other programs filter stays."""
    there = _look(EMPTY, _OWN)
    if there.actual:
        journal.item("-", f"firewall, table {TABLE}")
        yield step(run, f"nft delete table {TABLE}", doing="take the firewall away")
    if there.files:
        for path in there.files:
            journal.item("-", path)
        yield step(run, _WITHOUT_UNIT, doing="keep the firewall from being loaded at boot")
    if not there.actual and not there.files:
        host.noop("there is no firewall of this project")


# Docker, which requires the unit, would be stopped along with it.
_WITHOUT_UNIT = (
    f"rm -f {DOCKER}; systemctl daemon-reload; systemctl --quiet disable --now {UNIT}; "
    f"rm -f {shlex.join(_OWN)}; systemctl daemon-reload"
)


def _look(text: str, paths: Sequence[str]) -> FirewallState:
    return host.get_fact(Firewall, ruleset=text, paths=[*paths], unit=UNIT, mark=mark(_WHAT))


def _load(text: str, before: str) -> None:
    """Load a ruleset in one step, on trial; `before` is the listing of the table that was there."""
    # What is there let this very connection in. A listing that nft can't read, for what somebody
    # else put into the table, has the file of the last run in its place, and that an open door.
    back = (
        f"printf %s {shlex.quote(EMPTY + before)} | nft -f - || nft -f {FILE} || "
        f"printf %s {shlex.quote(EMPTY)} | nft -f -\n"
    )
    tried(_WHAT, lambda: run("nft -f -", doing="load the firewall", stdin=text), back=back)
