"""The names of everybody who has access to an Infisical, and of its projects, by id."""

from functools import partial
from typing import Any

from infisical_iac.api import identities
from infisical_iac.api.client import Client
from infisical_iac.api.lists import all_of
from infisical_iac.api.parallel import gather
from infisical_iac.stack.access_log import Known
from infisical_iac.workspace.people_actual import in_organization


def read(client: Client) -> Known:
    """All names in the organization of the deployer, whose token the client bears."""
    organization = identities.organization_id(client)
    machines, people, projects = gather(
        [
            partial(all_of, client, "/api/v1/identities", "identities", {"orgId": organization}),
            partial(in_organization, client, organization),
            partial(_projects, client),
        ]
    )
    return Known(
        {each["identity"]["id"]: each["identity"]["name"] for each in machines},
        {each["user"]["id"]: each["user"]["username"] for each in people},
        {each["id"]: each["slug"] for each in projects},
    )


def _projects(client: Client) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get(
        "/api/v1/projects", params={"type": "secret-manager"}
    )["projects"]
    return listed
