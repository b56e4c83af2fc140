"""The steps of the stack that every deploy of it has: the containers, and the way in to them."""

from functools import partial

from pyinfra.api.deploy import deploy

from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known
from infisical_iac.stack import compose, edge
from infisical_iac.stack.compose_file import compose_file
from infisical_iac.stack.ingress import configuration, served_certificate


@deploy("Ingress")
def ingress(known: Known) -> None:
    """See that the edge is open and the certificate served.

    The containers and their files are the stack's, and so is the edge of the host that leads.
    """
    if not known.leads:
        edge.opening(name="Let everybody in")
    served_certificate(settings=known.settings, name="Serve a certificate for the site's address")


def configure_ingress(settings: Settings) -> None:
    """Have the files that the containers of the ingress start with."""
    configuration(settings=settings, name="Configure the way in")


def run_containers(settings: Settings, machine: MachineState) -> None:
    """Bring the containers to what the settings say."""
    compose.running(
        settings=settings,
        compose=partial(compose_file, machine=machine),
        name="Run Infisical, PostgreSQL and Redis",
    )
