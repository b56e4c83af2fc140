"""Read the people and the members of the project, and validate the people of the project file."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from infisical_iac.api import contents, identities
from infisical_iac.api.client import Client
from infisical_iac.api.identities import DEPLOYER, find_all, organization_id
from infisical_iac.api.lists import all_of, gather, gather_by
from infisical_iac.api.universal_auth import universal_auth
from infisical_iac.core.errors import UserError
from infisical_iac.core.validation import suggest
from infisical_iac.stack.access_log import KnownNames
from infisical_iac.workspace import model
from infisical_iac.workspace.document import Place, Problem
from infisical_iac.workspace.memory import Goal
from infisical_iac.workspace.model import ROLES, Workspace
from infisical_iac.workspace.state import People, PersonState, Privilege, roles_of

Json = dict[str, Any]


def memberships(client: Client, project: str) -> list[Json]:
    """Return the people in the project, as the server lists them."""
    listed: list[Json] = client.get(f"/api/v1/projects/{project}/memberships")["memberships"]
    return listed


def in_organization(client: Client, organization: str) -> list[Json]:
    """Return the people in the organization, as the server lists them."""
    listed: list[Json] = client.get(f"/api/v2/organizations/{organization}/memberships")["users"]
    return listed


def person(listed: Sequence[Mapping[str, Any]], email: str) -> PersonState | None:
    """Return one person among `memberships`, without privileges; None if missing."""
    for each in listed:
        if email.lower() in names_of(each["user"]):
            return PersonState(each["id"], roles_of(each), created=each.get("createdAt", ""))
    return None


def read_people(
    client: Client,
    goal: Goal,
    admin: Callable[[], Client] | None,
    listed: Sequence[Mapping[str, Any]],
) -> People:
    """Return all people except the first administrator, with their privileges.

    Args:
        goal: without an `admin_email`, no privileges are read.
        admin: logs the administrator in; called only for what only the administrator may see.
        listed: the result of `memberships`; empty before there is a project.

    Raises UserError if the administrator can't be logged in here.
    """
    if admin is None:
        raise UserError(
            "people need the administrator's login, which is not available here",
            code="error.no_administrator",
        )
    desired, admin_email = goal.desired.people, goal.admin_email
    first = person(listed, admin_email)
    others = {
        _name(each["user"], desired): each
        for each in listed
        if admin_email.lower() not in names_of(each["user"])
    }
    able = first is not None and "admin" in first.roles
    by_admin = admin() if able and others else None
    members = gather_by(others, lambda name: _person(by_admin, others[name]))
    if set(desired) <= {*members, admin_email.lower()}:
        return People(members, {})
    users = [each["user"] for each in in_organization(client, identities.organization_id(client))]
    return People(members, {name: user["username"] for user in users for name in names_of(user)})


def _person(by_admin: Client | None, listed: Mapping[str, Any]) -> PersonState:
    id, held = listed["id"], None
    if by_admin is not None:
        held = model.read(by_admin, model.OF_PERSONS, {"projectMembershipId": id})
    return PersonState(id, roles_of(listed), held, listed.get("createdAt", ""))


def names_of(user: Mapping[str, Any]) -> list[str]:
    """Return the names that a person may have in the file."""
    return [str(user[key]).lower() for key in ("email", "username") if user[key]]


def _name(user: Mapping[str, Any], desired: Collection[str]) -> str:
    names = names_of(user)
    return next((each for each in names if each in desired), names[0])


def find_unknown_places(workspace: Workspace) -> Iterator[Problem]:
    """Yield unknown environments and folders, and roles without effect."""
    environments = [each.slug for each in workspace.environments]
    for email, access in workspace.people.items():
        for slug, inside in access.items() if isinstance(access, dict) else ():
            place: Place = ("people", email, slug)
            if slug not in environments:
                yield place, f"{slug!r} is not an environment; {suggest(slug, environments)}"
            if isinstance(inside, dict):
                yield from _folders(inside, place, workspace.folders)


def find_contradictions(workspace: Workspace, admin_email: str) -> Iterator[Problem]:
    """Yield a role that would restrict the first administrator."""
    email = admin_email.lower()
    if workspace.people.get(email, "admin") != "admin":
        yield (
            ("people", email),
            f"{email} is the first administrator, an admin of the project by the setting "
            "'admin_email'; write `admin`, or remove the entry",
        )


def refuse(goal: Goal) -> None:
    """Raise UserError if the settings rule out the roles of people."""
    for _, message in find_contradictions(goal.desired, goal.admin_email):
        raise UserError(message)
    if goal.desired.people and goal.isolation == "viewer":
        raise UserError(
            "people get their roles as additional privileges, which isolation 'viewer' does not "
            "manage: set isolation to 'privilege', or remove `people` from the project file",
            code="error.people_isolation",
        )


def _folders(roles: Mapping[str, str], place: Place, known: list[str]) -> Iterator[Problem]:
    for folder, role in roles.items():
        above = [each for each in roles if folder.startswith(f"{each}/")]
        wider = [each for each in above if ROLES.index(roles[each]) >= ROLES.index(role)]
        if not any(f"{folder}/".startswith(f"{each}/") for each in known):
            yield (
                (*place, folder),
                f"{folder} is in no folder of the file; {suggest(folder, known)}",
            )
        elif wider:
            yield (
                (*place, folder),
                f"it is in {wider[0]}, whose role {roles[wider[0]]!r} applies here too; "
                "remove it, or give it a higher role",
            )


def read_names(client: Client) -> KnownNames:
    """Return all names in the deployer's organization."""
    organization = identities.organization_id(client)
    machines, people, projects = gather(
        [
            partial(all_of, client, "/api/v1/identities", "identities", {"orgId": organization}),
            partial(in_organization, client, organization),
            partial(contents.projects, client),
        ]
    )
    return KnownNames(
        {each["identity"]["id"]: each["identity"]["name"] for each in machines},
        {each["user"]["id"]: each["user"]["username"] for each in people},
        {each["id"]: each["slug"] for each in projects},
    )


Part = Literal["service", "deployer", "administrator", "named", "other"]


@dataclass(frozen=True)
class Member:
    """An identity or a person in the project.

    Attributes:
        part: `service` and `deployer` for this project's own identities; `administrator` for the
            first one and for admins of the organization, who can enter every project; `named` for
            other people of the project file.
        privileges: None while they can't be read.
    """

    kind: Literal["identity", "person"]
    name: str
    part: Part
    roles: tuple[str, ...]
    privileges: tuple[Privilege, ...] | None = None


def list_identities(client: Client, goal: Goal, project: str, deployer: str) -> list[Member]:
    """Return the identities in a project, with all privileges.

    An identity with the name of a service's that this project did not make is `other`.

    Args:
        deployer: the client id that the deployer logs in with.
    """
    names = {**goal.desired.identities(), DEPLOYER: ""}
    own = find_all(client, organization_id(client), names, goal.memory.identities)
    parts: dict[str, Part] = {
        each.id: "deployer" if name == DEPLOYER else "service" for name, each in own.items()
    }
    listed = identities.memberships(client, project)
    return gather(partial(_identity, client, project, each, parts, deployer) for each in listed)


def list_people(
    client: Client, goal: Goal, project: str, admin: Callable[[], Client] | None
) -> list[Member]:
    """Return the people in a project, by their names in the project file or else by e-mail.

    Args:
        admin: logs the first administrator in; None if that is impossible. Only the administrator
            sees privileges of people. It is called if there are other people in the project.
    """
    first = goal.admin_email.lower()
    listed = memberships(client, project)
    # Without an administrator, no privileges are requested.
    seen = replace(goal, admin_email=first if admin else "")
    found = read_people(client, seen, admin or (lambda: client), listed)
    seat = person(listed, first)
    states = {**found.members, **({first: seat} if seat else {})}
    everybody = in_organization(client, organization_id(client))
    organization_admins = {each["user"]["id"] for each in everybody if each["role"] == "admin"}
    ruling = {each["id"] for each in listed if each["userId"] in organization_admins}

    def part(name: str, seat: str) -> Part:
        if seat in ruling or name == first:
            return "administrator"
        return "named" if name in goal.desired.people else "other"

    return [
        Member("person", name, part(name, each.membership_id), each.roles, each.privileges)
        for name, each in states.items()
    ]


def _identity(
    client: Client,
    project: str,
    listed: dict[str, Any],
    parts: Mapping[str, Part],
    deployer: str,
) -> Member:
    id, roles, shown = listed["identityId"], roles_of(listed), listed["identity"]
    part = parts.get(id, "other")
    if part == "other" and "admin" in roles and "universal-auth" in shown["authMethods"]:
        auth = universal_auth(client, id)
        part = "deployer" if auth and auth.client_id == deployer else "other"
    at = {"identityId": id, "projectId": project}
    held = model.read(client, model.OF_IDENTITIES, at)
    return Member("identity", shown["name"], part, roles, held)
