"""Read all members of the projects, with their roles and privileges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from infisical_iac.api.client import Client
from infisical_iac.api.identities import DEPLOYER, find_all, organization_id
from infisical_iac.api.identities import memberships as identity_memberships
from infisical_iac.api.lists import gather, gather_by
from infisical_iac.api.universal_auth import universal_auth
from infisical_iac.core.errors import ApiError
from infisical_iac.workspace import model
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.people_actual import in_organization, memberships, person, read_people
from infisical_iac.workspace.state import PersonState, Privilege, roles_of

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


def identities(
    client: Client, goal: Goal, projects: Sequence[str], deployer: str
) -> dict[str, list[Member]]:
    """Return the identities in each of some projects, with all privileges.

    An identity with the name of a service's that this deployment did not make is `other`.

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


def people(
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
    # In this thread, because the login may need the current host, which no other thread knows.
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
        # Where roles give access, a release may have no privileges that it could show to an admin.
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
    held = _privileges(client, goal, {"identityId": id, "projectId": project})
    return Member("identity", shown["name"], part, roles, held, id)


def _privileges(client: Client, goal: Goal, holder: dict[str, Any]) -> tuple[Privilege, ...]:
    try:
        return model.read(client, model.OF_IDENTITIES, holder)
    except ApiError as error:
        # Isolation by role needs no privileges, and a release may have none.
        if goal.grants or error.status not in (400, 404):
            raise
        return ()
