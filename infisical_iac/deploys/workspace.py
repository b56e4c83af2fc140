"""The inside of Infisical, from the workspace file."""

from pyinfra.api.deploy import deploy

from infisical_iac.host.preflight import Preflight
from infisical_iac.workspace.reconcile import converged


@deploy("Workspace")
def workspace(known: Preflight) -> None:
    """Make everything inside Infisical as the workspace file says."""
    if not known.leads:
        return
    converged(
        desired=known.workspace,
        isolation=known.settings.isolation,
        admin_email=known.settings.admin_email,
        port=known.settings.http_port,
        name=f"Bring Infisical to what {known.settings.workspace_file} says",
    )
