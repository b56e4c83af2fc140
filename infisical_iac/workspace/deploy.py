"""The deploys of Infisical's contents: bootstrap, project, canary, credentials and sign-in page.

The credentials of services are stored on the host, each client secret in its own file.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from pyinfra import logger
from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from infisical_iac.agent.canary import CANARY_FILE
from infisical_iac.agent.files import texts
from infisical_iac.agent.login import ADMIN_FILE, DEPLOYER_FILE
from infisical_iac.core.agent import Question, inspect, question
from infisical_iac.core.files import text_question
from infisical_iac.core.operation import Commands, decide_changes, planned_operation, step
from infisical_iac.core.remote import remove, write
from infisical_iac.stack import session
from infisical_iac.workspace import credentials as service_credentials
from infisical_iac.workspace import memory
from infisical_iac.workspace.bootstrap import accounts
from infisical_iac.workspace.credential_file import Store, render
from infisical_iac.workspace.credentials import DIRECTORY, Step, notes, plan
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.licensing import license_features
from infisical_iac.workspace.model import Workspace
from infisical_iac.workspace.preflight import Preflight
from infisical_iac.workspace.reconcile import (
    actual,
    canary_login,
    canary_project,
    listed_secrets,
    project_contents,
)
from infisical_iac.workspace.sign_in import methods, providers


def questions() -> Iterator[Question[Any]]:
    """Yield the files that the steps read on a host that is up to date; their texts are secret."""
    yield from map(text_question, (memory.FILE, DEPLOYER_FILE, ADMIN_FILE, CANARY_FILE))
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
    canary_login(
        is_on=known.settings.monitoring.monitoring == "on",
        port=known.settings.stack.http_port,
        name="Keep the login of the canary",
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


_notes: dict[str, list[str]] = {}


@planned_operation
def credential_files(*, desired: Workspace, port: int) -> Commands:
    """Keep one working client secret per service and environment, in its file.

    A client secret that was lost, revoked or has expired is replaced. Client secrets that are in no
    file, such as those of a killed run, are revoked after the new one is stored. The credentials
    of a renamed service move to a file of its new name. A file of a former release gets the
    variables that it lacks, with the same client secret.
    """
    _notes.pop(host.name, None)
    if actual() is None and not state.is_executing:
        yield from decide_credentials(
            plan(desired, {}, {}), desired, port, unseen=session.unknown_contents()
        )
    else:
        yield from decide_credentials(_list_due(desired, port), desired, port)


def decide_credentials(
    due: Sequence[Step], desired: Workspace, port: int, *, unseen: str = ""
) -> Commands:
    """Decide which credentials are to be stored or revoked, by the steps that are `due`.

    `unseen` is the reason why the actual state is unknown; empty if it is known.
    """
    changes = [change for each in due for change in each.changes]
    yield from decide_changes(
        changes,
        step(_store, desired, port),
        "every credential is in its file and works",
        unseen,
    )


def credential_warnings() -> list[str]:
    """Return sentences on the current host's credentials, as inspected last in this run.

    They report credentials that expire soon and unfinished rotations, and are not changes.
    """
    return _notes.get(host.name, [])


def credential_store() -> Store:
    """Return access to the files on the current host. Its functions raise CommandFailed."""
    return Store(
        f"{DIRECTORY} on {host.name}",
        _files,
        lambda name, text: write(f"{DIRECTORY}/{name}.env", text),
        lambda name: remove(f"{DIRECTORY}/{name}.env", doing=f"remove {DIRECTORY}/{name}.env"),
    )


def _store(desired: Workspace, port: int) -> None:
    client, files = session.deployer(port), credential_store()
    for due in _list_due(desired, port):
        logger.info(f"{host.print_prefix}{due}")
        if due.creates:
            credential = service_credentials.create(client, due)
            files.write(due.account.credentials, render(credential))
        service_credentials.carry_over(files, due)
        service_credentials.revoke_orphans(client, due)


def _list_due(desired: Workspace, port: int) -> list[Step]:
    found = actual()
    client = session.deployer(port)
    holders = service_credentials.holders(client, found, listed_secrets()) if found else {}
    steps = plan(desired, holders, _files())
    _notes[host.name] = notes(steps, datetime.now(UTC))
    return [due for due in steps if not due.is_up_to_date]


def credentials_question() -> Question[dict[str, str]]:
    """Return the question for all files of credentials, which are read ahead of the operation."""
    return question(texts, paths=[], patterns=[f"{DIRECTORY}/*.env"])


def _files() -> dict[str, str]:
    found = inspect(credentials_question())
    return {PurePath(path).stem: _printable(text) for path, text in found.items()}


def _printable(text: str) -> str:
    """Return a text that ends with a line end, with `?` for all but printable ASCII.

    No credential has another character, and messages that quote one would print it.
    """
    lines = (re.sub("[^ -~]", "?", line) for line in text.split("\n"))
    whole = "\n".join(lines)
    return whole if whole.endswith("\n") or not whole else f"{whole}\n"
