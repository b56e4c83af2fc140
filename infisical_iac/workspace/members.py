"""Read all members of the project, with their roles and privileges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from infisical_iac.api.client import Client
from infisical_iac.api.identities import DEPLOYER, find_all, organization_id
from infisical_iac.api.identities import memberships as identity_memberships
from infisical_iac.api.lists import gather
from infisical_iac.api.universal_auth import universal_auth
from infisical_iac.workspace import model
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.people_actual import in_organization, memberships, person, read_people
from infisical_iac.workspace.state import Privilege, roles_of

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


def identities(client: Client, goal: Goal, project: str, deployer: str) -> list[Member]:
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
    listed = identity_memberships(client, project)
    return gather(partial(_identity, client, project, each, parts, deployer) for each in listed)


def people(
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
