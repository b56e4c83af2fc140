"""Define the steps of the stack in every deploy: ingress and containers."""

from functools import partial

from pyinfra.api.deploy import deploy

from infisical_iac.core import files
from infisical_iac.core.files import File
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known
from infisical_iac.instance import authorities, login_proof, mail, proxy
from infisical_iac.instance.settings import EXTRA_CA
from infisical_iac.stack import compose, edge, keys
from infisical_iac.stack.compose_file import compose_file
from infisical_iac.stack.ingress import configuration, served_certificate


@deploy("Secrets")
def given_secrets(known: Known) -> None:
    """Ask for the secrets that only the user has, before anything is changed."""
    if known.leads:
        keys.given_secrets(
            secrets=known.settings.instance.secrets,
            more=keys.more_of(known.settings),
            name="Ask for the secrets that only you have",
        )


@deploy("Ingress")
def ingress(known: Known) -> None:
    """Open the edge, and wait until the certificate is served.

    The stack itself deploys the containers with their files, and opens the edge of the leader.
    """
    if not known.leads:
        edge.opening(name="Open the edge")
    served_certificate(settings=known.settings, name="Serve a certificate for the site's address")


def make_keys(known: Known, admin_password: str | None) -> None:
    """Prove what the user set, then make the keys and store what the user gave."""
    settings = known.settings
    more = keys.more_of(settings)
    mail.login(settings=settings, name="Log in to the mail server")
    proxy.answering(settings=settings, name="Ask the proxy")
    if settings.instance.login.clients:
        login_proof.login_clients(settings=settings, name="Check the clients of logins")
    keys.files(
        admin_email=settings.workspace.admin_email,
        admin_password=admin_password,
        more=more,
        name="Make keys and passwords on the host",
    )


def configure_containers(settings: Settings) -> None:
    """Write the files that the containers of Caddy and Infisical start with."""
    configuration(settings=settings, name="Configure the ingress")
    if trusted := authorities.read_authorities(settings):
        files.contents(
            files=[File(EXTRA_CA, trusted, mode="644")],
            name="Write the authorities that Infisical trusts",
        )


def run_containers(settings: Settings, machine: MachineState) -> None:
    """Bring the containers to what the settings say."""
    compose.running(
        settings=settings,
        compose=partial(compose_file, machine=machine),
        name="Run Infisical, PostgreSQL and Redis",
    )
