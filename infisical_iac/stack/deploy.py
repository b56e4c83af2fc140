"""Define the steps of the stack in every deploy, and remove it from a single host."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from pyinfra.api.deploy import deploy
from pyinfra.api.host import Host

from infisical_iac.agent import removal
from infisical_iac.core import files
from infisical_iac.core.agent import Question, ask, perform, question
from infisical_iac.core.files import File
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known
from infisical_iac.instance import authorities, proof
from infisical_iac.instance.settings import EXTRA_CA
from infisical_iac.stack import compose, edge, keys
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.ingress import configuration, question_for, served_certificate


def questions(known: Known) -> Iterator[Question[Any]]:
    """Yield the questions of the steps of keys and ingress to the agent on an up-to-date host."""
    settings = known.settings
    if known.leads:
        yield keys.question_for(keys.more_of(settings))
    else:
        yield edge.edge_question()
    if settings.stack.runs_caddy:
        yield question_for(settings)
    if trusted := _authorities(settings):
        yield files.question_for(trusted)


def _authorities(settings: Settings) -> list[File]:
    """Return the file of the authorities that Infisical trusts, if there are any."""
    trusted = authorities.read_authorities(settings)
    return [File(EXTRA_CA, trusted, mode="644")] if trusted else []


@deploy("Secrets")
def given_secrets(known: Known) -> None:
    """Ask for the secrets that only the user has, before anything is changed."""
    if known.leads:
        keys.given_secrets(
            secrets=known.settings.secrets,
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
    """Prove the user's logins at their servers, then make the keys and store the user's secrets."""
    settings = known.settings
    more = keys.more_of(settings)
    proof.mail_login(settings=settings, name="Log in to the mail server")
    proof.proxy_tunnels(settings=settings, name="Ask the proxy")
    if settings.instance.login.clients:
        proof.login_clients(settings=settings, name="Check the clients of logins")
    keys.files(
        admin_email=settings.workspace.admin_email,
        admin_password=admin_password,
        more=more,
        name="Make keys and passwords on the host",
    )


def configure_containers(settings: Settings) -> None:
    """Write the files that the containers of Caddy and Infisical start with."""
    configuration(settings=settings, name="Configure the ingress")
    if trusted := _authorities(settings):
        files.contents(files=trusted, name="Write the authorities that Infisical trusts")


def run_containers(settings: Settings, machine: MachineState) -> None:
    """Bring the containers to the state that the settings describe."""
    compose.running(
        settings=settings,
        compose=partial(compose_file, machine=machine),
        name="Run Infisical, PostgreSQL and Redis",
    )


@dataclass(frozen=True)
class HostRemoval:
    """The removal of Infisical from the current host, a single one.

    Attributes:
        name: the name that the user has to type.
        called: the owner of that name, as a possessive such as `the host's`.
        kept: a sentence on the data that are kept without `--volumes`.
        address: the host's address, if it differs from the name.
    """

    name: str
    called: str = "the host's"
    kept: str = "Data and keys are kept."
    address: str = ""

    @classmethod
    def of(cls, host: Host, inventory: str) -> Self:
        """Return the removal from the `host` of an inventory."""
        address = str(host.data.get("ssh_hostname") or "")
        return cls(host.name, address="" if address == host.name else address)

    def list_deployed(self) -> str:
        """Return the deployed parts, one per line."""
        return "\n".join(ask(question(removal.deployed)))

    def back_up(self, directory: str) -> str:
        """Back up database and keys, and return where the backup is. Raises a UserError."""
        asked = question(removal.back_up, directory=directory)
        perform(asked, doing="take a backup first")
        return "the host"

    def remove(self, *, volumes: bool) -> None:
        """Remove the stack. Raises CommandFailed."""
        asked = question(removal.remove_everything if volumes else removal.remove_stack)
        perform(asked, doing="remove Infisical")
