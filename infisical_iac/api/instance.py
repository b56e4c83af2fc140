"""Read and set up an instance: its initialization, sign-up, administrators and organizations."""

from collections.abc import Collection
from dataclasses import dataclass

from infisical_iac.api.client import Client
from infisical_iac.api.lists import all_of

_CONFIG = "/api/v1/admin/config"
_ORGANIZATIONS = "/api/v1/admin/organization-management/organizations"


@dataclass(frozen=True)
class Organization:
    """An organization of the instance."""

    id: str
    name: str


@dataclass(frozen=True)
class Census:
    """The usernames of the super admins, and all organizations of an instance."""

    super_admins: list[str]
    organizations: list[Organization]


def is_initialized(client: Client) -> bool:
    """Return whether the instance has its first administrator; needs no token."""
    return bool(client.get(_CONFIG)["config"]["initialized"])


def signup_is_open(client: Client) -> bool:
    """Return whether anybody who reaches the instance may create an account; needs no token."""
    return bool(client.get(_CONFIG)["config"]["allowSignUp"])


def close_signup(admin_client: Client) -> None:
    """Close sign-up for people without an invitation.

    Args:
        admin_client: with the administrator's own token.
    """
    admin_client.patch(_CONFIG, json={"allowSignUp": False})


def rename_organization(admin_client: Client, organization: str, name: str) -> None:
    """Rename the organization of an id. `admin_client` has the administrator's token."""
    admin_client.patch(f"/api/v1/organization/{organization}", json={"name": name})


def census(admin_client: Client) -> Census:
    """Return the super admins and the organizations.

    Args:
        admin_client: with the administrator's own token.
    """
    users = all_of(admin_client, "/api/v1/admin/user-management/users", "users")
    organizations = all_of(admin_client, _ORGANIZATIONS, "organizations")
    return Census(
        super_admins=[user["username"] for user in users if user.get("superAdmin")],
        organizations=[Organization(each["id"], each["name"]) for each in organizations],
    )


@dataclass(frozen=True)
class Beyond:
    """The numbers of undeclared resources of an instance."""

    organizations: int
    projects: int
    identities: int


def count_beyond(
    admin_client: Client,
    *,
    organization: str,
    projects: Collection[str],
    identities: Collection[str],
) -> Beyond:
    """Count the undeclared resources of the whole instance, in all organizations.

    A project that the server makes with each organization is not counted.

    Args:
        admin_client: with the administrator's own token.
        organization, projects, identities: the ids of the declared ones.
    """
    found = all_of(admin_client, _ORGANIZATIONS, "organizations")
    made = [
        project["id"]
        for each in found
        for project in each["projects"]
        if project["createdAt"] != each["createdAt"]
    ]
    everybody = all_of(admin_client, "/api/v1/admin/identity-management/identities", "identities")
    return Beyond(
        len({each["id"] for each in found} - {organization}),
        len(set(made) - set(projects)),
        len({each["id"] for each in everybody} - set(identities)),
    )


def own_organizations(person: Client) -> list[Organization]:
    """Return the organizations of the person whose token the client has."""
    answer = person.get("/api/v1/organization")
    return [Organization(each["id"], each["name"]) for each in answer["organizations"]]
