"""Keep the text that upgrades and restores read to prove that secrets can be decrypted."""

from pyinfra.api.deploy import deploy

from infisical_iac.host.preflight import Preflight
from infisical_iac.operations.canary import kept


@deploy("Canary")
def canary(known: Preflight) -> None:
    """Keep a secret whose text is known to everybody."""
    if not known.leads:
        return
    kept(
        admin_email=known.settings.admin_email,
        port=known.settings.http_port,
        name="Keep a canary among the secrets",
    )
