"""Read a project by its slug, and the folders and secrets of an environment."""

from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.api.lists import gather_by

Json = dict[str, Any]


def project(client: Client, slug: str) -> Json | None:
    """Return the project of a slug, None if there is none."""
    return client.find(f"/api/v1/projects/slug/{slug}")


def projects(client: Client) -> list[Json]:
    """Return the projects that hold secrets and that the client may see, as the server lists."""
    answer = client.get("/api/v1/projects", params={"type": "secret-manager"})
    return list(answer["projects"])


def slug_of(client: Client, id: str) -> str | None:
    """Return the slug that a project has now, None if it is gone or not to be seen."""
    found = client.find(f"/api/v1/projects/{id}", absent=(403, 404))
    return str(found["project"]["slug"]) if found else None


def folders(client: Client, project: str, environment: str) -> dict[str, str]:
    """Return the ids of all folders of an environment but its root, by path."""
    at = {"projectId": project, "environment": environment, "path": "/", "recursive": "true"}
    listed = client.get("/api/v2/folders", params=at)["folders"]
    return {each["relativePath"]: each["id"] for each in listed}


def secrets_of(client: Client, project: Json, *, values: bool = True) -> dict[str, list[Json]]:
    """Return all secrets of a project by the slug of the environment, as `secrets` has them."""
    slugs = [each["slug"] for each in project["environments"]]
    return gather_by(slugs, lambda slug: secrets(client, project["id"], slug, values=values))


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
