"""Read the additional privileges that are there.

A privilege gives an identity or a person permissions in one project, beyond those of a role.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infisical_iac.agent.privileges import OF_IDENTITIES, are_equal, list_privileges
from infisical_iac.agent.privileges import OF_PERSONS as OF_PERSONS
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, CheckFailed
from infisical_iac.workspace.state import Privilege

# The former generation of this route lists privileges with their permissions.
_WITH_PERMISSIONS = "/api/v1/additional-privilege/identity"


def read(client: Client, path: str, holder: dict[str, Any]) -> tuple[Privilege, ...]:
    """Return all privileges of an identity or a person; the arguments are `list_privileges`'s."""
    return _privileges(list_privileges(client, path, holder))


def are_served(client: Client) -> bool:
    """Return whether the release has the routes of identities' privileges.

    Without its query, a route that exists refuses the request with another status than 404.
    """
    try:
        client.get(OF_IDENTITIES)
    except ApiError as error:
        if error.status not in (400, 401, 403, 404, 422):
            raise
        return error.status != 404
    return True


def read_of_identity(
    client: Client, identity: str, project: str, slug: str
) -> tuple[Privilege, ...]:
    """Return all privileges of an identity in a project, in one request if the release can.

    Args:
        identity: the id of the identity.
        project: the id of the project.
        slug: the slug of the project.
    """
    at = {"identityId": identity, "projectSlug": slug}
    try:
        return _privileges(client.get(_WITH_PERMISSIONS, params=at)["privileges"])
    except ApiError as error:
        if error.status != 404:
            raise
        # A release may have dropped the route.
        return read(client, OF_IDENTITIES, {"identityId": identity, "projectId": project})


def read_granting(client: Client, identity: str, project: str, slug: str) -> tuple[Privilege, ...]:
    """Return what `read_of_identity` does; raise CheckFailed if the release has no privileges."""
    try:
        return read_of_identity(client, identity, project, slug)
    except ApiError as error:
        if error.status != 404 or are_served(client):
            raise
        raise CheckFailed(
            "this Infisical no longer has the privileges by which services read only their own "
            "folders: run `infisical-iac isolation apply --to projects`, which gives each service "
            "a project of its own",
            code="checks.isolation",
        ) from None


def _privileges(read: Iterable[Mapping[str, Any]]) -> tuple[Privilege, ...]:
    return tuple(
        Privilege(
            each["id"],
            each["slug"],
            each["isTemporary"],
            tuple(each["permissions"]),
            each.get("createdAt", ""),
        )
        for each in read
    )


def describing(environment: str) -> dict[str, Any]:
    """Return the permission to see the names of an environment's secrets without values."""
    return {
        "subject": "secrets",
        "action": ["describeSecret"],
        "conditions": {"environment": {"$eq": environment}},
    }


def folders_of(privilege: Privilege) -> list[str]:
    """Return the folders that `reading_of` would name for a privilege."""
    conditions = [each.get("conditions") or {} for each in privilege.permissions]
    paths = [each.get("secretPath") for each in conditions]
    values = [each.get("$eq") if isinstance(each, dict) else each for each in paths]
    return [each for each in values if isinstance(each, str)]


def find_privilege(
    privileges: Iterable[Privilege], slug: str, grants: Sequence[Mapping[str, Any]]
) -> Privilege | None:
    """Return the privilege of a name, if there is one.

    The server allows several privileges with one name. If there are, the one that grants exactly
    `grants` is returned, or else the first.
    """
    return min(
        (each for each in privileges if each.slug == slug),
        key=lambda each: each.is_temporary or not are_equal(each.permissions, grants),
        default=None,
    )
