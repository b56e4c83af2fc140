"""The deploys of Infisical's contents: bootstrap, project, canary, credentials and sign-in page."""

from collections.abc import Iterator
from typing import Any

from pyinfra.api.deploy import deploy

from infisical_iac.core.agent import Question
from infisical_iac.core.files import text_question
from infisical_iac.stack.model import DEPLOYER_FILE
from infisical_iac.stack.session import ADMIN_FILE
from infisical_iac.workspace import memory
from infisical_iac.workspace.bootstrap import accounts
from infisical_iac.workspace.credentials_issue import credential_files, credentials_question
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.licensing import license_features
from infisical_iac.workspace.preflight import Preflight
from infisical_iac.workspace.reconcile import canary_project, project_contents
from infisical_iac.workspace.sign_in import methods, providers


def questions() -> Iterator[Question[Any]]:
    """Yield the files that the steps read on a host that is up to date; their texts are secret."""
    yield from map(text_question, (memory.FILE, DEPLOYER_FILE, ADMIN_FILE))
    yield credentials_question()


@deploy("Bootstrap")
def bootstrap(known: Preflight) -> None:
    """Bootstrap the instance once, and keep sign-up closed."""
    if not known.leads:
        return
    accounts(
        organization=known.settings.workspace.organization,
        admin_email=known.settings.workspace.admin_email,
        port=known.settings.stack.http_port,
        project=known.workspace.project.slug,
        name="Make the administrator and the deployer, close sign-up",
    )


@deploy("Workspace")
def workspace(known: Preflight) -> None:
    """Apply the project file to Infisical."""
    if not known.leads:
        return
    settings = known.settings.workspace
    goal = Goal(
        desired=known.workspace, isolation=settings.isolation, admin_email=settings.admin_email
    )
    project_contents(
        goal=goal,
        port=known.settings.stack.http_port,
        name=f"Apply {settings.workspace_file}",
    )


@deploy("Canary")
def canary(known: Preflight) -> None:
    """Keep the canary, a secret with a public text."""
    if not known.leads:
        return
    canary_project(
        admin_email=known.settings.workspace.admin_email,
        port=known.settings.stack.http_port,
        name="Keep the canary up to date",
    )


@deploy("Credentials")
def credentials(known: Preflight) -> None:
    """Keep a working client secret on the host for every service and environment."""
    if not known.leads:
        return
    credential_files(
        desired=known.workspace,
        port=known.settings.stack.http_port,
        name="Store a client secret per service and environment",
    )


@deploy("Sign-in")
def sign_in(known: Preflight) -> None:
    """Check the license and the sign-in page's providers, and restrict its methods."""
    if not known.leads:
        return
    instance = known.settings.instance
    if instance.license_key:
        license_features(settings=known.settings, name="Check the license")
    if instance.login.clients:
        providers(settings=known.settings, name="Check the logins by other providers")
    methods(settings=known.settings, name="Set the login methods")
