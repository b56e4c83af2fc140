"""Reading the actual state: a few waves of requests, those of a wave side by side."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from infisical_iac.api import contents, identities
from infisical_iac.api.client import Client
from infisical_iac.api.lists import gather
from infisical_iac.api.universal_auth import universal_auth
from infisical_iac.core.errors import SettingsError, Unreachable, UserError
from infisical_iac.workspace import holdings, model, structure
from infisical_iac.workspace.duplicates import find_duplicates
from infisical_iac.workspace.memory import Memory, find_project
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.people_actual import memberships, person, read_people, refuse
from infisical_iac.workspace.state import (
    AccountState,
    Actual,
    DeletedEnvironment,
    EnvironmentState,
    Import,
    People,
    ProjectState,
    ServerLists,
    roles_of,
)
from infisical_iac.workspace.structure import match_environments

Json = dict[str, Any]


def read(
    client: Client,
    *,
    workspace: Workspace,
    isolation: Isolation,
    admin_email: str,
    admin: Callable[[], Client] | None = None,
    remembered: Memory | None = None,
) -> Actual:
    """Read what is inside Infisical of what the workspace speaks of.

    Args:
        client: with the token of the deployer, an admin of organization and project.
        isolation: with `viewer`, the privilege API is not asked for anything.
        admin_email: the person who must be an admin of the project.
        admin: logs that person in; called only if people are read, which are if the workspace
            names any. Where that fails, they are not seen, and all else is read.
        remembered: what the last run left, by which what was renamed is found; None for nothing.

    Raises ApiError or Unreachable, and UserError for people who can't have their roles.
    """
    refuse(workspace, isolation, admin_email)
    memory = remembered or Memory()
    first: list[Any] = gather(
        [
            partial(find_project, client, workspace.project.slug, memory),
            partial(_everybody, client),
        ]
    )
    (project, usurper), (organization, everybody) = first
    asked = isolation == "privilege" and bool(workspace.people)
    people = partial(_people, client, admin, organization, workspace, admin_email)
    if project is None:
        seen, unseen = people([]) if asked else (None, "")
        return Actual(
            organization,
            accounts=_accounts(
                client, organization, workspace, memory, ServerLists(everybody), isolation
            ),
            people=seen,
            people_unseen=unseen,
            elsewhere=_elsewhere(client),
            listed=ServerLists(everybody),
        )
    state = ProjectState.of(project)
    seats, persons = gather(
        [
            partial(identities.memberships, client, state.id),
            partial(memberships, client, state.id),
        ]
    )
    listed = ServerLists(everybody, seats, persons)
    parts: list[Any] = gather(
        [
            partial(_environments, client, project, workspace, memory),
            partial(
                _accounts, client, organization, workspace, memory, listed, isolation, state.id
            ),
        ]
    )
    accounts: dict[str, AccountState] = parts[1]
    seen, unseen = people(persons) if asked else (None, "")
    return Actual(
        organization_id=organization,
        project=state,
        environments=tuple(sorted(parts[0], key=lambda each: each.position)),
        deleted=_deleted(project),
        accounts=accounts,
        duplicates=find_duplicates(client, workspace, state.id, seats, accounts),
        admin=person(persons, admin_email),
        people=seen,
        people_unseen=unseen,
        usurper=usurper,
        listed=listed,
    )


def _people(
    client: Client,
    admin: Callable[[], Client] | None,
    organization: str,
    workspace: Workspace,
    admin_email: str,
    listed: list[Json],
) -> tuple[People | None, str]:
    """Return the people, or None and why the administrator, who alone sees all of them, can't log
    in.

    Raises SettingsError and Unreachable, which are nothing that he could cure.
    """
    log_in = cache(admin) if admin else None
    if log_in and (len(listed) > 1 or {*workspace.people} - {admin_email.lower()}):
        # Here, for it may ask the current host, which no other thread knows.
        try:
            log_in()
        except (SettingsError, Unreachable):
            raise
        except UserError as error:
            return None, str(error)
    found = read_people(
        client,
        log_in,
        organization=organization,
        listed=listed,
        wanted=workspace.people,
        admin_email=admin_email,
    )
    return found, ""


def _everybody(client: Client) -> tuple[str, list[Json]]:
    """Return the id of the organization, and its identities as the server lists them."""
    organization = identities.organization_id(client)
    return organization, identities.in_organization(client, organization)


def _deleted(project: Json) -> tuple[DeletedEnvironment, ...]:
    return tuple(
        DeletedEnvironment(each["id"], each["slug"], each["name"])
        for each in project["deletedEnvironments"]
    )


def _elsewhere(client: Client) -> dict[str, str]:
    projects = client.get("/api/v1/projects", params={"type": "secret-manager"})["projects"]
    return {
        environment["id"]: project["slug"]
        for project in projects
        for environment in project["environments"]
    }


def _environments(
    client: Client, project: Json, workspace: Workspace, memory: Memory
) -> list[EnvironmentState]:
    read = gather(
        [partial(_environment, client, project["id"], each) for each in project["environments"]]
    )
    matched = match_environments(
        workspace, Actual("", environments=tuple(read)), memory.environments
    )
    ours = [each for each in read if each in matched.values()]
    imports = gather(
        [partial(_imports, client, project["id"], each, workspace, memory) for each in ours]
    )
    imported = {each.id: found for each, found in zip(ours, imports, strict=True)}
    return [replace(each, imports=imported.get(each.id, {})) for each in read]


def _environment(client: Client, project: str, listed: Json) -> EnvironmentState:
    slug = listed["slug"]
    detail = client.get(f"/api/v1/projects/{project}/environments/slug/{slug}")["environment"]
    found = contents.folders(client, project, slug)
    return EnvironmentState(listed["id"], slug, detail["name"], detail["position"], found)


def _imports(
    client: Client, project: str, there: EnvironmentState, workspace: Workspace, memory: Memory
) -> dict[str, tuple[Import, ...]]:
    now = structure.match_folders(workspace, there.folders, memory.folders.get(there.id, {}))
    importing = sorted({each.folder for each in workspace.services.values() if each.imports})
    here = [folder for folder in importing if folder in now]
    read = gather(
        [partial(holdings.read_imports, client, project, there.slug, now[each]) for each in here]
    )
    return {folder: tuple(found) for folder, found in zip(here, read, strict=True)}


def _accounts(
    client: Client,
    organization: str,
    workspace: Workspace,
    memory: Memory,
    listed: ServerLists,
    isolation: Isolation,
    project: str | None = None,
) -> dict[str, AccountState]:
    names = {account.identity for account in workspace.accounts()}
    everybody = [each["identity"] for each in listed.identities]
    own = identities.find_all(client, organization, names, memory.identities, everybody)
    members = {each["identityId"]: roles_of(each) for each in listed.seats}
    reads = [
        partial(_account, client, each, members.get(each.id), project, isolation)
        for each in own.values()
    ]
    return dict(zip(own, gather(reads), strict=True))


def _account(
    client: Client,
    identity: identities.Identity,
    roles: tuple[str, ...] | None,
    project: str | None,
    isolation: Isolation,
) -> AccountState:
    auth = universal_auth(client, identity.id) if identity.has_universal_auth else None
    if roles is None or isolation == "viewer":
        return AccountState(identity, auth, roles)
    at = {"identityId": identity.id, "projectId": project}
    held = model.read(client, model.OF_IDENTITIES, at)
    return AccountState(identity, auth, roles, held)
