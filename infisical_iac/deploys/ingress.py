"""The way in from outside: Caddy's certificate, once all that it leads to is there."""

from pyinfra.api.deploy import deploy

from infisical_iac.host.preflight import Preflight
from infisical_iac.stack import edge
from infisical_iac.stack.ingress import served


@deploy("Ingress")
def ingress(known: Preflight) -> None:
    """See that the edge is open and the certificate served.

    The containers and their files are the stack's, and so is the edge of the host that leads.
    """
    if not known.leads:
        edge.opened(name="Let everybody in")
    served(settings=known.settings, name="Serve a certificate for the site's address")
