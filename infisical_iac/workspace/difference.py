"""The difference between desired and actual state, as changes in the order to make them."""

from collections.abc import Mapping

from infisical_iac.workspace import access, structure
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.environments import environments
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.people import people
from infisical_iac.workspace.state import Actual


def difference(
    desired: Workspace,
    actual: Actual,
    *,
    isolation: Isolation,
    admin_email: str,
    remembered: Mapping[str, str],
) -> list[Change]:
    """What to change, in an order in which each change finds what it builds on.

    Nothing is deleted but privileges that widen what our own identities may do.

    Args:
        isolation: `privilege` lets a service read its own folders only; `viewer` everything.
        admin_email: who must be an admin of the project.
        remembered: environment slug to id, as `remember` told after the last run, so that a
            renamed environment is known again; empty on a first run.

    Raises WorkspaceError where only a person can tell what is meant.
    """
    changes = [
        *structure.project(desired, actual, remembered),
        *access.admin(admin_email, actual),
        *environments(desired, actual, remembered),
        *structure.folders(desired, actual, remembered),
        *people(desired, admin_email, actual),
    ]
    for account in desired.accounts():
        changes += access.account(account, isolation, actual)
    return changes
