"""The difference between desired and actual state, as changes in the order to make them."""

from infisical_iac.workspace import access, structure
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.people import people
from infisical_iac.workspace.state import Actual
from infisical_iac.workspace.structure import environments


def difference(
    desired: Workspace,
    actual: Actual,
    *,
    isolation: Isolation,
    admin_email: str,
    remembered: Memory,
) -> list[Change]:
    """Return what to change, in an order in which each change finds what it builds on.

    What only a person can set right is among it, of the kind `!`, and what hangs on that is not.

    Nothing is deleted but privileges that widen what our own identities may do.

    Args:
        isolation: `privilege` lets a service read its own folders only; `viewer` everything.
        admin_email: who must be an admin of the project.
        remembered: what the last run left, so that what was renamed is known again; empty on a
            first run.
    """
    of_project = list(structure.project(desired, actual, remembered))
    if actual.project is None and any(each.kind == "!" for each in of_project):
        return of_project
    changes = [
        *of_project,
        *access.admin(admin_email, actual),
        *environments(desired, actual, remembered.environments),
        *structure.contents(desired, actual, remembered),
        *people(desired, admin_email, actual),
    ]
    for account in desired.accounts():
        changes += access.account(account, isolation, actual)
    return changes
