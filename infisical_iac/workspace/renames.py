"""Report what is left to do after a service was renamed."""

from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.state import Actual


def find_renames(desired: Workspace, actual: Actual) -> list[str]:
    """Return the services that still have an identity of their former name."""
    found = (
        account.service
        for account in desired.accounts()
        if account.former and (there := actual.accounts.get(account.identity))
        if there.identity.name == account.former_identity
    )
    return list(dict.fromkeys(found))


def notes(desired: Workspace, actual: Actual, *, moves_files: bool) -> list[str]:
    """Return a sentence on each service to be renamed: the steps that follow the apply.

    Args:
        moves_files: whether the same apply renames the files of credentials.
    """
    end = (
        "after that, and once a plan has nothing to change, `renamed_from` can be removed"
        if moves_files
        else "keep `renamed_from` until `infisical-iac apply`, `credentials push` or `credentials "
        "rotate` has renamed its credentials too"
    )
    return [
        f"{name}, renamed from {desired.services[name].renamed_from}: after the apply run "
        f"`infisical-iac check REPO --fix`, so that its .infisical.json names "
        f"{desired.services[name].folder}, then commit and deploy that file if it changed; {end}"
        for name in find_renames(desired, actual)
    ]
