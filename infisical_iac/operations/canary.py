"""The canary, kept where it must be."""

from dataclasses import replace

from pyinfra.context import host, state

from infisical_iac.api.client import Client
from infisical_iac.core import journal, session
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.workspace import canary, isolation, reconcile
from infisical_iac.workspace.apply import apply
from infisical_iac.workspace.canary import Canary, CanaryError
from infisical_iac.workspace.change import Change


@telling_operation
def kept(*, admin_email: str, port: int) -> Commands:
    """Keep the canary as it must be, for upgrades, restores and drills to read.

    Temporary projects and identities that an interrupted upgrade has left are taken away.

    Raises CanaryError for one that can't be read: no text is put over what may be decrypted with
    the right key.
    """
    if not state.is_executing and not session.works(port):
        # Earlier steps of this very run bring Infisical up.
        session.tell_unseen(lambda: journal.items(canary.due(Canary(), admin_email)))
        yield step(_keep, admin_email, port)
        return
    client = session.deployer(port)
    known = reconcile.remembered().canary
    found = canary.look(client, admin_email, known)
    due = _due(client, found, admin_email)
    if not due and _id(found) == known:
        host.noop("the canary lives")
        return
    journal.items(due)
    if not due:
        journal.item("~", reconcile.MEMORY, "which project is the canary's")
    yield step(_keep, admin_email, port)


def _keep(admin_email: str, port: int) -> None:
    client = session.deployer(port)
    memory = reconcile.remembered()
    found = canary.look(client, admin_email, memory.canary)
    for _ in apply(client, _due(client, found, admin_email)):
        pass
    isolation.sweep(client)
    if not canary.lives(client):
        raise CanaryError("the canary was made, and is not there: run again")
    reconcile.keep(replace(memory, canary=_id(canary.look(client, admin_email))))


def _due(client: Client, found: Canary, admin_email: str) -> list[Change]:
    return [*canary.due(found, admin_email), *isolation.leftovers(client)]


def _id(found: Canary) -> str:
    return found.place.project.id if found.place.project else ""
