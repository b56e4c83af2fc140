"""The way in from outside: Caddy's certificate, once all that it leads to is there."""

from pyinfra.api.deploy import deploy

from infisical_iac.deploys.preflight import Preflight
from infisical_iac.operations.ingress import served


@deploy("Ingress")
def ingress(known: Preflight) -> None:
    """See that the certificate is served; the containers and their files are the stack's."""
    served(settings=known.settings, name="Serve a certificate for the site's address")
