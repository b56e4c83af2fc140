"""Read and set up an instance: its initialization, logins, license, audit log, organizations."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infisical_iac.agent.api import all_of
from infisical_iac.agent.login import Organization
from infisical_iac.api.client import Client
from infisical_iac.core.errors import UserError

_CONFIG = "/api/v1/admin/config"
_ORGANIZATIONS = "/api/v1/admin/organization-management/organizations"
_EVENTS_A_PAGE, _MOST_PAGES = 1000, 100


@dataclass(frozen=True)
class Census:
    """The usernames of the super admins, and all organizations of an instance."""

    super_admins: list[str]
    organizations: list[Organization]


def signup_is_open(client: Client) -> bool:
    """Return whether anybody who reaches the instance may create an account; needs no token."""
    return bool(client.get(_CONFIG)["config"]["allowSignUp"])


def close_signup(admin_client: Client) -> None:
    """Close sign-up for people without an invitation.

    Args:
        admin_client: with the administrator's own token.
    """
    admin_client.patch(_CONFIG, json={"allowSignUp": False})


def login_methods(client: Client) -> list[str] | None:
    """Return the methods that people may log in by; None if it was never restricted.

    It needs no token.
    """
    found: list[str] | None = client.get(_CONFIG)["config"]["enabledLoginMethods"]
    return found


def set_login_methods(admin_client: Client, methods: Sequence[str]) -> None:
    """Restrict the methods that people may log in by.

    The server refuses a list with none of the methods of the account that asks, so that account
    gets the first one of the list.

    Args:
        admin_client: with the administrator's own token.
    """
    own = admin_client.get("/api/v2/users/me")["user"]["authMethods"] or ["email"]
    if not {*own} & {*methods}:
        added = {"authMethods": [*own, methods[0]]}
        admin_client.put("/api/v2/users/me/auth-methods", json=added)
    admin_client.patch(_CONFIG, json={"enabledLoginMethods": [*methods]})


@dataclass(frozen=True)
class LoginPage:
    """The login page of a provider: its address, and the client id that it receives."""

    address: str
    client_id: str


def login_page(client: Client, provider: str) -> LoginPage | None:
    """Return the page that a login by a provider leads to; None if that is not set up.

    It needs no token. Nothing else of the API says which providers are set up.
    """
    location = client.location(f"/api/v1/sso/redirect/{provider}")
    if location is None:
        return None
    parts = urlsplit(location)
    (client_id,) = parse_qs(parts.query).get("client_id", [""])
    return LoginPage(f"{parts.scheme}://{parts.netloc}{parts.path}", client_id)


def license_plan(client: Client, organization: str) -> Mapping[str, Any]:
    """Return the features of the license, by the server's names; `slug` is None without one."""
    found: Mapping[str, Any] = client.get(f"/api/v1/organizations/{organization}/plan")["plan"]
    return found


def audit_events(
    client: Client,
    begin: datetime,
    end: datetime | None = None,
    *,
    actor: tuple[str, str] | None = None,
    page: int = _EVENTS_A_PAGE,
) -> Iterator[Mapping[str, Any]]:
    """Yield the events of the organization's audit log in a period, the latest first.

    Without a license nothing is recorded, but events from the time of an earlier license are still
    listed. Each query is recorded as an event too, and listed some seconds later.

    Args:
        end: at most three months after `begin`; None for now, however long ago `begin` is.
        actor: yields only the events of this actor, a kind (`identity` or `user`) and an id.
        page: the number of events that are asked for at once, at most 1000.

    Raises UserError after a hundred pages.
    """
    query: dict[str, Any] = {"startDate": _in_utc(begin), "limit": page}
    if end:
        query["endDate"] = _in_utc(end)
    if actor:
        query["actorType"], query["actor"] = actor
    seen: set[str] = set()
    for number in range(_MOST_PAGES):
        path = "/api/v1/organization/audit-logs"
        # Events that are recorded meanwhile shift the others: some come twice, none is left out.
        listed = client.get(path, params={**query, "offset": number * page})["auditLogs"]
        yield from (each for each in listed if each["id"] not in seen)
        seen |= {each["id"] for each in listed}
        if len(listed) < page:
            return
    raise UserError("the audit log has too many events since then: give a later --since")


def _in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


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
