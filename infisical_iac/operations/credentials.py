"""The services' credentials: each client secret in its own file on the host, at once."""

from collections.abc import Iterable

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.operations import journal, session
from infisical_iac.operations.remote import run, write
from infisical_iac.operations.telling import Commands, step, telling_operation
from infisical_iac.operations.workspace import actual
from infisical_iac.workspace import client_secrets
from infisical_iac.workspace.credentials import DIRECTORY, Step, plan, render
from infisical_iac.workspace.model import Workspace


@telling_operation
def stored(*, desired: Workspace, port: int) -> Commands:
    """Keep one working client secret per service and environment, in its file.

    One that was lost or revoked is replaced; those that no file holds, such as a died run
    leaves behind, are revoked, after the new one is stored.
    """
    found = actual()
    if found is None and not state.is_executing:
        session.tell_unseen(lambda: _tell(plan(desired, {}, {})))
        yield step(_store, desired, port)
        return
    due = _due(desired, port)
    if not due:
        host.noop("every credential is in its file and works")
        return
    _tell(due)
    yield step(_store, desired, port)


def _tell(due: Iterable[Step]) -> None:
    for each in due:
        if each.creates:
            journal.item("+", f"credentials {each.account.credentials}")
        if each.orphans:
            what = f"client secrets of {each.account.credentials} that no file holds"
            journal.item("-", what, str(len(each.orphans)))


def _store(desired: Workspace, port: int) -> None:
    client = session.deployer(port)
    for due in _due(desired, port):
        logger.info(f"{host.print_prefix}{due}")
        if due.creates:
            credential = client_secrets.create(client, due)
            write(due.path, render(credential))
        client_secrets.revoke_orphans(client, due)


def _due(desired: Workspace, port: int) -> list[Step]:
    found = actual()
    holders = client_secrets.holders(session.deployer(port), found) if found else {}
    return [due for due in plan(desired, holders, _files()) if not due.is_settled]


def _files() -> dict[str, str | None]:
    command = (
        f"for file in {DIRECTORY}/*.env; do test -f $file || continue; "
        "echo $file; sed 's/^/ /' $file; done"
    )
    files: dict[str, str | None] = {}
    path = ""
    for line in run(command, doing=f"read {DIRECTORY}").splitlines():
        if line.startswith(" "):
            files[path] = f"{files[path] or ''}{line[1:]}\n"
        else:
            path = line
            files[path] = ""
    return files
