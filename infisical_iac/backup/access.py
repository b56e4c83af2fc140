"""Compare access before and after a restore, which may bring back revoked access."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from infisical_iac.api import identities
from infisical_iac.api.client import Client
from infisical_iac.api.lists import all_of, gather
from infisical_iac.api.universal_auth import client_secrets
from infisical_iac.core.errors import ApiError
from infisical_iac.workspace.model import OF_IDENTITIES, OF_PERSONS
from infisical_iac.workspace.state import roles_of

# The answers of a release that has no such route, or grants privileges only by a license.
_WITHOUT_PRIVILEGES = (400, 404)
# Descriptions by id.
Access = Mapping[str, str]


@dataclass(frozen=True)
class AccessChanges:
    """Access that a restore brought back, and access that it removed."""

    revived: list[str]
    lost: list[str]


def read(
    client: Client, admin: Client, organization: str, projects: Iterable[Mapping[str, Any]]
) -> Access:
    """Return all identities, their client secrets, and roles and privileges in projects.

    The `client` may be the deployer. Only an administrator can read people's privileges. A release
    without privileges grants none. Raises ApiError or Unreachable.
    """
    found = gather(partial(_members, client, admin, each["id"], each["slug"]) for each in projects)
    every = [_machines(client, organization), *found]
    return {id: text for some in every for id, text in some.items()}


def compare(before: Access, after: Access) -> AccessChanges:
    """Return the differences of access that a restore made."""
    return AccessChanges(
        sorted(after[id] for id in after.keys() - before.keys()),
        sorted(before[id] for id in before.keys() - after.keys()),
    )


def _machines(client: Client, organization: str) -> Access:
    listed = all_of(client, "/api/v1/identities", "identities", {"orgId": organization})
    machines = [each["identity"] for each in listed]
    able = [each for each in machines if "universal-auth" in each["authMethods"]]
    secrets = gather([partial(client_secrets, client, each["id"]) for each in able])
    return {each["id"]: f"identity {each['name']}" for each in machines} | {
        secret.id: f"client secret {secret.id} of identity {identity['name']}"
        for identity, held in zip(able, secrets, strict=True)
        for secret in held
    }


def _members(client: Client, admin: Client, project: str, slug: str) -> Access:
    persons = client.get(f"/api/v1/projects/{project}/memberships")["memberships"]
    machines = identities.memberships(client, project)
    held = [
        *((each, each["user"]["username"]) for each in persons),
        *((each, f"identity {each['identity']['name']}") for each in machines),
    ]
    of_person, of_machine = (
        partial(_privileges, admin, OF_PERSONS),
        partial(_privileges, client, OF_IDENTITIES, projectId=project),
    )
    privileges = gather(
        [
            *(partial(of_person, projectMembershipId=each["id"]) for each in persons),
            *(partial(of_machine, identityId=each["identity"]["id"]) for each in machines),
        ]
    )
    return {
        f"{membership['id']} {role}": f"role {role} of {who} in {slug}"
        for membership, who in held
        for role in roles_of(membership)
    } | {
        id: f"privilege {name} of {who} in {slug}"
        for (_, who), found in zip(held, privileges, strict=True)
        for id, name in found.items()
    }


def _privileges(client: Client, path: str, **holder: str) -> dict[str, str]:
    try:
        listed = client.get(path, params=holder)["privileges"]
    except ApiError as error:
        if error.status not in _WITHOUT_PRIVILEGES:
            raise
        return {}
    return {each["id"]: each["slug"] for each in listed}
