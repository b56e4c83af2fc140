"""Make the credentials that the services log in with."""

from pyinfra.api.deploy import deploy

from infisical_iac.host.preflight import Preflight
from infisical_iac.workspace.credentials_issue import stored


@deploy("Credentials")
def credentials(known: Preflight) -> None:
    """Keep a working client secret on the host for every service and environment."""
    if not known.leads:
        return
    stored(
        desired=known.workspace,
        port=known.settings.http_port,
        name="Store a client secret per service and environment",
    )
