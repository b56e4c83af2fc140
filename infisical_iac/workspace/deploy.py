"""The first administrator, and the identity that all later steps use."""

from pyinfra.api.deploy import deploy

from infisical_iac.host.preflight import Preflight
from infisical_iac.workspace.bootstrap import bootstrapped


@deploy("Bootstrap")
def bootstrap(known: Preflight) -> None:
    """Set the instance up, once, and keep sign-up closed."""
    if not known.leads:
        return
    bootstrapped(
        organization=known.settings.organization,
        admin_email=known.settings.admin_email,
        port=known.settings.http_port,
        name="Make the administrator and the deployer, close sign-up",
    )
