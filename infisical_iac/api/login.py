"""Log identities and people in."""

from infisical_iac.api.client import Client
from infisical_iac.api.instance import own_organizations
from infisical_iac.core.errors import UserError


def universal(client: Client, client_id: str, client_secret: str) -> Client:
    """Log a machine identity in by universal auth.

    Raises ApiError; its `status` is 401 for wrong credentials and for a lock-out, which another
    try would only prolong.
    """
    answer = client.post_again(
        "/api/v1/auth/universal-auth/login",
        json={"clientId": client_id, "clientSecret": client_secret},
    )
    return client.with_token(answer["accessToken"])


def password(
    client: Client, email: str, password: str, organization_id: str | None = None
) -> Client:
    """Log a person in, and into one organization.

    Args:
        organization_id: which organization; None for the only one that the person is in.

    Raises ApiError (status 400 for a wrong password), or UserError if there are several
    organizations or a second factor is demanded.
    """
    answer = client.post_again("/api/v3/auth/login", json={"email": email, "password": password})
    person = client.with_token(answer["accessToken"])
    chosen = organization_id or _only_organization(person, email)
    selected = person.post_again(
        "/api/v3/auth/select-organization", json={"organizationId": chosen}
    )
    if selected.get("isMfaEnabled"):
        raise UserError(
            f"{email} logs in with a second factor, which this tool can't give; "
            "turn it off in Infisical for the first administrator"
        )
    return client.with_token(selected["token"])


def _only_organization(person: Client, email: str) -> str:
    organizations = own_organizations(person)
    if len(organizations) != 1:
        names = ", ".join(sorted(each.name for each in organizations)) or "none"
        raise UserError(
            f"{email} must be in exactly one organization of Infisical but is in: {names}"
        )
    return organizations[0].id
