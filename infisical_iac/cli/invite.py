"""`infisical-iac workspace invite`: a new link for an invitation that got lost."""

from pathlib import Path

import click

from infisical_iac.api.identities import organization_id
from infisical_iac.cli.options import inventory_option, workspace_file_option
from infisical_iac.cli.output import echo
from infisical_iac.workspace.document import WorkspaceError
from infisical_iac.workspace.invitations import renew
from infisical_iac.workspace.reach import reach


@click.command()
@inventory_option
@workspace_file_option
@click.argument("email")
def invite(inventory: str, file: Path | None, email: str) -> None:
    """Print a new invitation link for EMAIL, who was invited but has not come yet.

    The old link no longer works. Exit status: 0 when it is printed, 1 for an error.
    """
    with reach(inventory, file, None) as reached:
        if email.lower() not in reached.desired.people:
            raise WorkspaceError(f"{email} is not in `people` of the workspace file: add it first")
        organization = organization_id(reached.client)
        echo(renew(reached.client, reached.admin(), organization, email))
