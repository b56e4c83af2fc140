"""Read the people and the members of projects, and validate the people of the project file."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from infisical_iac.agent import contents, identities
from infisical_iac.agent.api import all_of, gather, gather_by
from infisical_iac.agent.identities import DEPLOYER, find_all, organization_id, universal_auth
from infisical_iac.agent.identities import memberships as identity_memberships
from infisical_iac.agent.privileges import OF_IDENTITIES
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, UserError
from infisical_iac.core.validation import suggest
from infisical_iac.stack.access_log import KnownNames
from infisical_iac.workspace import privileges
from infisical_iac.workspace.document import Place, Problem
from infisical_iac.workspace.goal import Goal, parts_of
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
    members = gather_by(
        others,
        lambda name: _person(by_admin, others[name], needs_privileges=goal.grants),
    )
    # In one of several projects not everybody is a member.
    if goal.key or set(desired) <= {*members, admin_email.lower()}:
        return People(members, {})
    users = [each["user"] for each in in_organization(client, identities.organization_id(client))]
    return People(members, {name: user["username"] for user in users for name in names_of(user)})


def list_people(
    goal: Goal, listed: Sequence[Mapping[str, Any]], everybody: People | None
) -> People:
    """Return all people in a project but the first administrator, without their privileges.

    Args:
        listed: the result of `memberships`.
        everybody: the people of the organization.
    """
    first = goal.admin_email.lower()
    members = {
        _name(each["user"], goal.desired.people): _person(None, each)
        for each in listed
        if first not in names_of(each["user"])
    }
    return People(members, everybody.usernames if everybody else {})


def _privileges(by_admin: Client, membership: str, *, needed: bool) -> tuple[Privilege, ...] | None:
    try:
        return privileges.read(by_admin, privileges.OF_PERSONS, {"projectMembershipId": membership})
    except ApiError as error:
        # Where privileges are not needed, roles give access, and a release may have no privileges.
        if needed or error.status not in (400, 403, 404):
            raise
        return None


def _person(
    by_admin: Client | None, listed: Mapping[str, Any], *, needs_privileges: bool = True
) -> PersonState:
    id, held = listed["id"], None
    if by_admin is not None:
        held = _privileges(by_admin, id, needed=needs_privileges)
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
    if goal.is_split:
        _refuse_inexpressible(goal.desired)
    if goal.desired.people and goal.isolation == "viewer":
        raise UserError(
            "people get their roles as additional privileges, which isolation 'viewer' does not "
            "manage: set isolation to 'privilege' or 'projects', or remove `people` from the "
            "project file",
            code="error.people_isolation",
        )


def _refuse_inexpressible(desired: Workspace) -> None:
    """Raise UserError for a role on a part of a folder: a project has one role for all of it."""
    known = {part.folder for part in parts_of(desired)}
    for email, access in desired.people.items():
        for slug, inside in access.items() if isinstance(access, dict) else ():
            for folder in inside if isinstance(inside, dict) else ():
                if not any(f"{each}/".startswith(f"{folder}/") for each in known):
                    raise UserError(
                        f"{email} has a role on {folder} in {slug}, which is inside a service's or "
                        "a shared folder: with isolation 'projects' a role counts for the whole "
                        "folder, so name that one",
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
    """An identity or a person in a project.

    Attributes:
        part: `service` and `deployer` for this project's own identities; `administrator` for the
            first one and for admins of the organization, who can enter every project; `named` for
            other people of the project file.
        privileges: None while they can't be read.
        id: of the identity or the user, the same in all projects; empty if it is unknown.
    """

    kind: Literal["identity", "person"]
    name: str
    part: Part
    roles: tuple[str, ...]
    privileges: tuple[Privilege, ...] | None = None
    id: str = ""


def list_member_identities(
    client: Client, goal: Goal, projects: Sequence[str], deployer: str
) -> dict[str, list[Member]]:
    """Return the identities in each of some projects, with all privileges.

    An identity that has the name of a service's identity, but was not made by this deployment, is
    `other`.

    Args:
        projects: the ids of the projects.
        deployer: the client id that the deployer logs in with.
    """
    names = {**goal.desired.identities(), DEPLOYER: ""}
    own = find_all(client, organization_id(client), names, goal.memory.identities)
    parts: dict[str, Part] = {
        each.id: "deployer" if name == DEPLOYER else "service" for name, each in own.items()
    }
    listed = gather_by(projects, partial(identity_memberships, client))
    seats = [(project, each) for project, some in listed.items() for each in some]
    found: dict[str, list[Member]] = {project: [] for project in projects}
    read = gather(partial(_identity, client, goal, *each, parts, deployer) for each in seats)
    for (project, _), member in zip(seats, read, strict=True):
        found[project].append(member)
    return found


def list_member_people(
    client: Client, goal: Goal, projects: Sequence[str], admin: Callable[[], Client] | None
) -> dict[str, list[Member]]:
    """Return the people in some projects, by their names in the project file or else by e-mail.

    Args:
        projects: the ids of the projects.
        admin: logs the first administrator in; None if that is impossible. Only the administrator
            sees privileges of people. It is called if there are other people in a project.
    """
    first = goal.admin_email.lower()
    listed = gather_by(projects, partial(memberships, client))
    # The login runs in this thread: it may need the current host, which no other thread knows.
    by_admin = admin() if admin and any(len(each) > 1 for each in listed.values()) else client
    everybody = in_organization(client, organization_id(client))
    ruling = {each["user"]["id"] for each in everybody if each["role"] == "admin"}

    def part(name: str, user: str) -> Part:
        if user in ruling or name == first:
            return "administrator"
        return "named" if name in goal.desired.people else "other"

    def read(project: str) -> list[Member]:
        seats = listed[project]
        # Without an administrator, no privileges are requested. With a key, only members are read.
        seen = replace(goal, admin_email=first if admin else "", key=project)
        states = dict(read_people(client, seen, lambda: by_admin, seats).members)
        seat = person(seats, first)
        if seat:
            states[first] = seat
        # Where roles give access, a release may have no API of privileges, even for an admin.
        is_shown = admin is not None and not goal.grants and seat and "admin" in seat.roles
        users = {each["id"]: each["userId"] for each in seats}

        def member(name: str, there: PersonState) -> Member:
            user, held = users[there.membership_id], there.privileges
            if held is None and is_shown:
                held = ()
            return Member("person", name, part(name, user), there.roles, held, user)

        return [member(name, each) for name, each in states.items()]

    return gather_by(projects, read)


def _identity(
    client: Client,
    goal: Goal,
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
    held = _privileges_of_identity(client, goal, {"identityId": id, "projectId": project})
    return Member("identity", shown["name"], part, roles, held, id)


def _privileges_of_identity(
    client: Client, goal: Goal, holder: dict[str, Any]
) -> tuple[Privilege, ...]:
    try:
        return privileges.read(client, OF_IDENTITIES, holder)
    except ApiError as error:
        # Isolation by role needs no privileges, and a release may have none.
        if goal.grants or error.status not in (400, 404):
            raise
        return ()
