"""What is inside Infisical, brought to what the workspace file says."""

import json
from collections.abc import Mapping

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.operations import session
from infisical_iac.operations.remote import run, write
from infisical_iac.operations.telling import Commands, step, telling_operation
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.converge import converge
from infisical_iac.workspace.difference import difference
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.state import Actual, remember

# Which environment is which: so that one renamed by hand is known again by its id.
MEMORY = "/etc/infisical/workspace.json"

_latest: dict[str, Actual] = {}


@telling_operation
def converged(*, desired: Workspace, isolation: Isolation, admin_email: str, port: int) -> Commands:
    """Make project, environments, folders, imports, identities and privileges as `desired`.

    Nothing that this project did not make is deleted. What was read last is kept for
    `actual`.
    """
    if not state.is_executing and not session.works(port):
        # Earlier steps of this very run bring it up.
        _latest.pop(host.name, None)
        yield step(_converge, desired, isolation, admin_email, port)
        return
    known = remembered()
    found = read(
        session.deployer(port), workspace=desired, isolation=isolation, admin_email=admin_email
    )
    _latest[host.name] = found
    changes = difference(
        desired, found, isolation=isolation, admin_email=admin_email, remembered=known
    )
    if not changes and remember(found) == known:
        host.noop("the workspace is as its file says")
        return
    yield step(_converge, desired, isolation, admin_email, port)


def actual() -> Actual | None:
    """The current host's workspace as read last in this run, None if it couldn't be read."""
    return _latest.get(host.name)


def _converge(desired: Workspace, isolation: Isolation, admin_email: str, port: int) -> None:
    known = remembered()
    found = converge(
        session.deployer(port),
        desired,
        isolation=isolation,
        admin_email=admin_email,
        remembered=known,
        tell=_tell,
    )
    _latest[host.name] = found
    keep(remember(found))


def _tell(change: Change) -> None:
    logger.info(f"{host.print_prefix}{change}")


def keep(environments: Mapping[str, str]) -> None:
    """Keep on the current host which environment is which, if that isn't known already."""
    if environments != remembered():
        write(MEMORY, json.dumps(environments, indent=2) + "\n")


def remembered() -> Mapping[str, str]:
    """What `keep` kept on the current host: environment slugs to ids; empty before."""
    text = run(f"cat {MEMORY} 2>/dev/null || true", doing=f"read {MEMORY}")
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
