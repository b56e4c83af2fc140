"""Discard unfinished transactions of a former lead."""

from collections.abc import Sequence

from pyinfra.context import host

from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import removal, run
from infisical_iac.host.machine import MachineState

# In which phases the data may have changed places.
_EXCHANGED = ("data", "swapping", "swapped", "backing")


@telling_operation
def dropped(machine: MachineState) -> Commands:
    """Forget a restore, change of version, rotation or move that has not ended on a host.

    What the cluster has been like since is the present lead's: to undo it now would take back
    what was written meanwhile. Backups and drills of the host wait for it else.
    """
    begun = {
        "restore": machine.restoring,
        "upgrade": machine.upgrading,
        "rotation": machine.rotating,
        "scale": machine.scaling,
    }
    found = {what: state.split() for what, state in begun.items() if state}
    if not found:
        host.noop("nothing that the host began is under way")
    for what, (which, *how) in found.items():
        journal.item("-", f"unfinished {what}", f"{which}, of when this host led")
        journal.current().shown.extend(_aside(what, which, how))
        path = f"/var/lib/infisical-{what}/state"
        gone = f"rm -rf {_beside(what)} && {removal(path)}"
        yield step(run, gone, doing=f"remove {path}")


def _aside(what: str, which: str, how: Sequence[str]) -> list[str]:
    """Return a sentence on the data that had moved aside, which nothing removes."""
    if what not in ("restore", "upgrade") or not how or how[0] not in _EXCHANGED:
        return []
    database = f"infisical_before_{which.partition('-')[0].lower()}"
    return [
        f"The {what} {which}, which {host.name} began when it led, had not ended: what had been "
        f"replaced by then is in the cluster's database {database}, until you remove it."
    ]


def _beside(what: str) -> str:
    """Return what goes with the state: passwords that are not in their place, or a copy of the
    data.
    """
    if what == "rotation":
        return "/etc/infisical/keys/*.next /etc/infisical/keys/*.old"
    return f"/var/lib/infisical-{what}/fetched"
