"""Read a project by its slug, and the folders and secrets of an environment."""

from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError

Json = dict[str, Any]


def project(client: Client, slug: str) -> Json | None:
    """The project of a slug, None if there is none. Raises ApiError or Unreachable."""
    try:
        return client.get(f"/api/v1/projects/slug/{slug}")
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def slug_of(client: Client, id: str) -> str | None:
    """The slug that a project has now, None if it is gone or not to be seen.

    Raises ApiError or Unreachable.
    """
    try:
        return str(client.get(f"/api/v1/projects/{id}")["project"]["slug"])
    except ApiError as error:
        if error.status in (403, 404):
            return None
        raise


def folders(client: Client, project: str, environment: str) -> dict[str, str]:
    """The ids of all folders of an environment but its root, by path.

    Raises ApiError or Unreachable.
    """
    at = {"projectId": project, "environment": environment, "path": "/", "recursive": "true"}
    listed = client.get("/api/v2/folders", params=at)["folders"]
    return {each["relativePath"]: each["id"] for each in listed}


def secrets(
    client: Client,
    project: str,
    environment: str,
    *,
    folder: str | None = None,
    values: bool = True,
    expand: bool = False,
) -> list[Json]:
    """The secrets of an environment as the server lists them, without those that are imported.

    Args:
        folder: the one folder to list; None for all of them.
        values: whether their values are asked for.
        expand: whether references are replaced, which whoever asks without saying gets.

    Raises ApiError or Unreachable.
    """
    query = {
        "projectId": project,
        "environment": environment,
        "secretPath": folder or "/",
        **({} if folder else {"recursive": "true"}),
        **({} if values else {"viewSecretValue": "false"}),
        "expandSecretReferences": str(expand).lower(),
        "includeImports": "false",
    }
    listed: list[Json] = client.get("/api/v4/secrets", params=query)["secrets"]
    return listed
