"""Define the steps of the stack in every deploy: ingress and containers."""

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
    """Open the edge, and wait until the certificate is served.

    The stack itself deploys the containers with their files, and opens the edge of the leader.
    """
    if not known.leads:
        edge.opening(name="Open the edge")
    served_certificate(settings=known.settings, name="Serve a certificate for the site's address")


def configure_ingress(settings: Settings) -> None:
    """Write the files that the ingress container starts with."""
    configuration(settings=settings, name="Configure the ingress")


def run_containers(settings: Settings, machine: MachineState) -> None:
    """Bring the containers to what the settings say."""
    compose.running(
        settings=settings,
        compose=partial(compose_file, machine=machine),
        name="Run Infisical, PostgreSQL and Redis",
    )
