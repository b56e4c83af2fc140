"""Reading the actual state: a few waves of requests, those of a wave side by side."""

from collections.abc import Callable
from functools import partial
from typing import Any

from infisical_iac.api import contents, identities
from infisical_iac.api.client import Client
from infisical_iac.api.parallel import gather
from infisical_iac.api.universal_auth import universal_auth
from infisical_iac.workspace import privileges
from infisical_iac.workspace.model import Isolation, Workspace
from infisical_iac.workspace.people_actual import memberships, person, read_people
from infisical_iac.workspace.people_check import refuse
from infisical_iac.workspace.state import (
    AccountState,
    Actual,
    DeletedEnvironment,
    EnvironmentState,
    ProjectState,
    roles_of,
)

Json = dict[str, Any]


def read(
    client: Client,
    *,
    workspace: Workspace,
    isolation: Isolation,
    admin_email: str,
    admin: Callable[[], Client] | None = None,
    leavers: bool = False,
) -> Actual:
    """Read what is inside Infisical of what the workspace speaks of.

    Args:
        client: with the token of the deployer, an admin of organization and project.
        isolation: with `viewer`, the privilege API is not asked for anything.
        admin_email: the person who must be an admin of the project.
        admin: logs that person in; called only if people are read, which are if the workspace
            names any.
        leavers: whether to read people even so, for those who left the file.

    Raises ApiError or Unreachable, and WorkspaceError for people who can't have their roles.
    """
    refuse(workspace, isolation, admin_email)
    slug = workspace.project.slug
    first: list[Any] = gather(
        [partial(contents.project, client, slug), partial(identities.organization_id, client)]
    )
    project, organization = first
    names = {account.identity for account in workspace.accounts()}
    asked = isolation == "privilege" and (leavers or bool(workspace.people))
    people = partial(
        read_people,
        client,
        admin,
        organization=organization,
        wanted=workspace.people,
        admin_email=admin_email,
    )
    if project is None:
        return Actual(
            organization,
            accounts=_accounts(client, organization, names, None, isolation),
            people=people(listed=[]) if asked else None,
            elsewhere=_elsewhere(client),
        )
    id = project["id"]
    parts: list[Any] = gather(
        [
            partial(_environments, client, id, project["environments"], workspace),
            partial(_accounts, client, organization, names, id, isolation),
            partial(memberships, client, id),
        ]
    )
    return Actual(
        organization_id=organization,
        project=ProjectState(id, project["name"], bool(project["hasDeleteProtection"])),
        environments=tuple(sorted(parts[0], key=lambda each: each.position)),
        deleted=tuple(
            DeletedEnvironment(each["id"], each["slug"], each["name"])
            for each in project["deletedEnvironments"]
        ),
        accounts=parts[1],
        admin=person(parts[2], admin_email),
        people=people(listed=parts[2]) if asked else None,
    )


def _elsewhere(client: Client) -> dict[str, str]:
    projects = client.get("/api/v1/projects", params={"type": "secret-manager"})["projects"]
    return {
        environment["id"]: project["slug"]
        for project in projects
        for environment in project["environments"]
    }


def _environments(
    client: Client, project: str, listed: list[Json], workspace: Workspace
) -> list[EnvironmentState]:
    importing = sorted({each.folder for each in workspace.services.values() if each.imports})
    return gather([partial(_environment, client, project, each, importing) for each in listed])


def _environment(
    client: Client, project: str, listed: Json, importing: list[str]
) -> EnvironmentState:
    slug = listed["slug"]
    detail = client.get(f"/api/v1/projects/{project}/environments/slug/{slug}")["environment"]
    at = {"projectId": project, "environment": slug}
    folders = frozenset(contents.folders(client, project, slug))
    imports = {
        folder: _imports(client, {**at, "path": folder})
        for folder in importing
        if folder in folders
    }
    return EnvironmentState(
        listed["id"], slug, detail["name"], detail["position"], folders, imports
    )


def _imports(client: Client, at: Json) -> frozenset[tuple[str, str]]:
    listed = client.get("/api/v2/secret-imports", params=at)["secretImports"]
    return frozenset((each["importEnv"]["id"], each["importPath"]) for each in listed)


def _accounts(
    client: Client, organization: str, names: set[str], project: str | None, isolation: Isolation
) -> dict[str, AccountState]:
    own = identities.find_all(client, organization, names)
    members = {
        each["identityId"]: roles_of(each)
        for each in (identities.memberships(client, project) if project else ())
    }
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
    held = privileges.read(client, privileges.OF_IDENTITIES, at)
    return AccountState(identity, auth, roles, held)
