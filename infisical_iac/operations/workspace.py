"""Bring what is inside Infisical to what the workspace file says."""

from functools import partial

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.operations import journal, session
from infisical_iac.operations.remote import run, write
from infisical_iac.operations.telling import Commands, step, telling_operation
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.converge import converge
from infisical_iac.workspace.difference import difference
from infisical_iac.workspace.memory import Memory, learn, parse, remember, render
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.state import Actual

# Which object is which, so that one renamed by hand is known again, and what runs made.
MEMORY = "/etc/infisical/workspace.json"

_latest: dict[str, Actual] = {}


@telling_operation
def converged(*, desired: Workspace, isolation: Isolation, admin_email: str, port: int) -> Commands:
    """Make project, environments, folders, imports, identities and people as `desired`.

    Nothing that this project did not make is deleted. What was read last is kept for
    `actual`.
    """
    if not state.is_executing and not session.works(port):
        # Earlier steps of this very run bring it up.
        _latest.pop(host.name, None)
        session.tell_unseen(
            lambda: journal.items(
                difference(
                    desired,
                    Actual(""),
                    isolation=isolation,
                    admin_email=admin_email,
                    remembered=Memory(),
                )
            )
        )
        yield step(_converge, desired, isolation, admin_email, port)
        return
    known = remembered()
    found = read(
        session.deployer(port),
        workspace=desired,
        isolation=isolation,
        admin_email=admin_email,
        admin=partial(session.administrator, port),
        remembered=known,
    )
    _latest[host.name] = found
    changes = difference(
        desired,
        found,
        isolation=isolation,
        admin_email=admin_email,
        remembered=known,
    )
    if not changes and remember(desired, found, known) == known:
        host.noop("the workspace is as its file says")
        return
    journal.items(changes)
    if not changes:
        journal.item("~", MEMORY, "which object is which")
    yield step(_converge, desired, isolation, admin_email, port)


def actual() -> Actual | None:
    """The current host's workspace as read last in this run, None if it couldn't be read."""
    return _latest.get(host.name)


def _converge(desired: Workspace, isolation: Isolation, admin_email: str, port: int) -> None:
    known = remembered()
    made: list[Change] = []

    def tell(change: Change) -> None:
        made.append(change)
        logger.info(f"{host.print_prefix}{change}")
        if change.shown:
            journal.current().shown.append(change.shown)
            logger.info(f"{host.print_prefix}{change.shown}")

    found = converge(
        session.deployer(port),
        desired,
        isolation=isolation,
        admin_email=admin_email,
        remembered=known,
        tell=tell,
        admin=partial(session.administrator, port),
    )
    _latest[host.name] = found
    keep(learn(session.deployer(port), desired, known, found, made))


def keep(memory: Memory) -> None:
    """Keep on the current host what is known after a run, if that isn't known already."""
    if memory != remembered():
        write(MEMORY, render(memory))


def remembered() -> Memory:
    """Return what `keep` kept on the current host; an empty memory before."""
    return parse(run(f"cat {MEMORY} 2>/dev/null || true", doing=f"read {MEMORY}"))
