"""Reading, comparing and applying until nothing differs."""

from collections.abc import Callable
from functools import cache

from infisical_iac.api.client import Client
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.apply import apply
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.difference import difference
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.memory import Memory
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.state import Actual

_MOST_PASSES = 3


def converge(
    client: Client,
    workspace: Workspace,
    *,
    isolation: Isolation,
    admin_email: str,
    remembered: Memory,
    tell: Callable[[Change], None],
    admin: Callable[[], Client] | None = None,
) -> Actual:
    """Make the workspace so, and return the state as read when nothing differed any more.

    A second pass finds what only the first brought to light, such as folders missing in an
    environment that was restored.

    Args:
        tell: called with each change once it is made; `shown` of it is told only here.
        admin: logs in the administrator; called only for people.

    Raises what `read`, `difference` and `apply` do, and WorkspaceError if it does not settle.
    """
    administrator = cache(admin) if admin else None
    for _ in range(_MOST_PASSES + 1):
        actual = read(
            client,
            workspace=workspace,
            isolation=isolation,
            admin_email=admin_email,
            admin=administrator,
            remembered=remembered,
        )
        changes = difference(
            workspace,
            actual,
            isolation=isolation,
            admin_email=admin_email,
            remembered=remembered,
        )
        if not changes:
            return actual
        for change in apply(client, changes, admin=administrator):
            tell(change)
    raise WorkspaceError(
        f"Infisical still differs after {_MOST_PASSES} repairs ({changes[0]}): "
        "see whether somebody else is changing it, then run again"
    )
