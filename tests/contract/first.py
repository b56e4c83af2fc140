"""Set up a new instance with a deployer."""

from typing import NamedTuple

from infisical_iac.agent import identities
from infisical_iac.agent.identities import attach_universal_auth, create_client_secret
from infisical_iac.agent.login import own_organizations
from infisical_iac.api import login
from infisical_iac.api.client import Client

EMAIL = "admin@example.com"
PASSWORD = "obviously-fake-password"


class Deployer(NamedTuple):
    """An admin of the organization, with its credentials."""

    organization: str
    client_id: str
    client_secret: str


# Longer than a module of tests takes on a busy machine.
_TOKEN_SECONDS = 7200


def set_up(client: Client) -> Deployer:
    """Bootstrap a new instance, and return its new deployer."""
    body = {"email": EMAIL, "password": PASSWORD, "organization": "ChainAlign"}
    client.post("/api/v1/admin/bootstrap", json=body)
    admin = login.password(client, EMAIL, PASSWORD)
    organization = own_organizations(admin)[0].id
    made = identities.create(admin, organization, "deployer", role="admin")
    auth = attach_universal_auth(admin, made.id, _TOKEN_SECONDS, _TOKEN_SECONDS)
    secret = create_client_secret(admin, made.id, "test").value
    return Deployer(organization, auth.client_id, secret)
