"""Cause drifts on a deployed host, by a shell command or through Infisical's API."""

from collections.abc import Callable
from typing import Any

from infisical_iac.agent import identities
from infisical_iac.agent.identities import (
    client_secrets,
    patch_universal_auth,
    revoke_client_secret,
    universal_auth_path,
)
from infisical_iac.agent.login import own_organizations
from infisical_iac.api import instance
from infisical_iac.api.client import Client
from tests.e2e.inspection import administrator, deployer, place
from tests.staging.host import StagingHost


def shell(command: str) -> Callable[[StagingHost], object]:
    """Return a cause that runs a shell command on the host."""
    return lambda host: host.run(command)


def change_project(
    act: Callable[[Client, dict[str, Any]], object], folder: str, environment: str
) -> Callable[[StagingHost], object]:
    """Return a cause that changes the project of a folder by the API, with the deployer's token."""

    def cause(host: StagingHost) -> None:
        with deployer(host) as client:
            id = place(client, folder, environment)["projectId"]
            act(client, client.get(f"/api/v1/projects/{id}")["project"])

    return cause


def change_identity(act: Callable[[Client], object]) -> Callable[[StagingHost], object]:
    """Return a cause that changes an identity through the API, with the deployer's token."""

    def cause(host: StagingHost) -> None:
        with deployer(host) as client:
            act(client)

    return cause


def _environment(project: dict[str, Any], slug: str) -> str:
    path = f"/api/v1/projects/{project['id']}/environments"
    return next(f"{path}/{each['id']}" for each in project["environments"] if each["slug"] == slug)


def _identity(client: Client, name: str) -> str:
    found = identities.find(client, identities.organization_id(client), name)
    assert found is not None
    return found.id


def rename_environment(client: Client, project: dict[str, Any]) -> None:
    client.patch(_environment(project, "staging"), json={"slug": "qa", "name": "QA"})


def delete_environment(client: Client, project: dict[str, Any]) -> None:
    client.delete(_environment(project, "development"))


def delete_folder(client: Client, project: dict[str, Any]) -> None:
    place = {"projectId": project["id"], "environment": "staging"}
    listed = client.get("/api/v2/folders", params={**place, "path": "/"})["folders"]
    folder = next(each["id"] for each in listed if each["name"] == "backend")
    client.delete(f"/api/v2/folders/{folder}", json={**place, "path": "/"})


def widen_privilege(client: Client, project: dict[str, Any]) -> None:
    path = "/api/v2/identity-project-additional-privilege"
    identity = _identity(client, "backend-staging")
    params = {"identityId": identity, "projectId": project["id"]}
    (privilege,) = client.get(path, params=params)["privileges"]
    everything = [{"subject": "secrets", "action": ["describeSecret", "readValue"]}]
    body = {"slug": privilege["slug"], "type": {"isTemporary": False}, "permissions": everything}
    client.patch(f"{path}/{privilege['id']}", json=body)


def raise_role(client: Client, project: dict[str, Any]) -> None:
    path = f"/api/v1/projects/{project['id']}/memberships/identities"
    roles = {"roles": [{"role": "admin", "isTemporary": False}]}
    client.patch(f"{path}/{_identity(client, 'backend-staging')}", json=roles)


def change_ttl(client: Client) -> None:
    patch_universal_auth(client, _identity(client, "backend-production"), 7200, 86400)


def limit_tokens(client: Client) -> None:
    identity = _identity(client, "python-service-production")
    client.patch(universal_auth_path(identity), json={"accessTokenNumUsesLimit": 3})


def rename_identity(client: Client) -> None:
    path = f"/api/v1/identities/{_identity(client, 'python-service-development')}"
    client.patch(path, json={"name": "renamed", "metadata": []})


def rename_folder(client: Client, project: dict[str, Any]) -> None:
    place = {"projectId": project["id"], "environment": "production", "path": "/"}
    listed = client.get("/api/v2/folders", params=place)["folders"]
    folder = next(each["id"] for each in listed if each["name"] == "backend")
    client.patch(f"/api/v2/folders/{folder}", json={**place, "name": "renamed"})


def rename_project(client: Client, project: dict[str, Any]) -> None:
    client.patch(f"/api/v1/projects/{project['id']}", json={"slug": "renamed"})


def remove_membership(client: Client, project: dict[str, Any]) -> None:
    identity = _identity(client, "python-service-staging")
    client.delete(f"/api/v1/projects/{project['id']}/memberships/identities/{identity}")


def revoke_secret(client: Client) -> None:
    identity = _identity(client, "backend-production")
    (secret,) = client_secrets(client, identity)
    revoke_client_secret(client, identity, secret.id)


def alter_canary(client: Client) -> None:
    project = client.get("/api/v1/projects/slug/infisical-iac-canary")["id"]
    place = {"projectId": project, "environment": "prod", "secretPath": "/"}
    client.patch("/api/v4/secrets/CANARY", json={**place, "secretValue": "dead"})


def open_signup(host: StagingHost) -> None:
    with administrator(host) as client:
        client.patch("/api/v1/admin/config", json={"allowSignUp": True})
        assert instance.signup_is_open(client)


def rename_organization(host: StagingHost) -> None:
    with administrator(host) as client:
        (own,) = own_organizations(client)
        instance.rename_organization(client, own.id, "Renamed")
