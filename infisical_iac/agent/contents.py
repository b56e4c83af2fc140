"""Read projects by what the host remembers, and the folders and secrets of an environment."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient, gather, gather_by

Json = dict[str, Any]


def project(client: ApiClient, slug: str) -> Json | None:
    """Return the project of a slug, None if there is none."""
    return client.find(f"/api/v1/projects/slug/{slug}")


# What `apply` remembers of the projects that it made.
MEMORY = "/etc/infisical/workspace.json"


@dataclass(frozen=True)
class KnownProjects:
    """The projects that hold this host's secrets, as the last `apply` has recorded them.

    Attributes:
        project, slug: the id and the slug of the one project; empty without one.
        parts: the ids of the projects of the isolation `projects`.
        fell_back: whether the isolation is `projects` because the server enforces no privileges.
    """

    project: str = ""
    slug: str = ""
    parts: tuple[str, ...] = ()
    fell_back: bool = False


def parse_known(text: str) -> KnownProjects:
    """Return the projects in the content of MEMORY; none for another content."""
    try:
        found = json.loads(text or "{}")
        project = found.get("project") or {}
        parts = [each["project"]["id"] for each in (found.get("parts") or {}).values()]
        return KnownProjects(
            str(project.get("id", "")),
            str(project.get("slug", "")),
            tuple(each for each in map(str, parts) if each),
            found.get("fell_back") is True,
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return KnownProjects()


def find_project(client: ApiClient, slug: str, known: KnownProjects) -> tuple[Json | None, str]:
    """Return the project of a slug or None, and the id of another project that took the slug.

    The project is the one remembered under this slug, even if it was renamed since.
    """
    named = project(client, slug)
    if not known.project or known.slug != slug or (named and named["id"] == known.project):
        return named, ""
    now = slug_of(client, known.project)
    found = project(client, now) if now else None
    return (found, named["id"] if named else "") if found else (named, "")


def projects_of(client: ApiClient, slug: str, known: KnownProjects) -> list[Json]:
    """Return the projects that hold the secrets, also those renamed by hand.

    These are the project of the slug, and the parts. Both exist while secrets move between them.
    """
    one = find_project(client, slug, known)[0]
    paths = [f"/api/v1/projects/{id}" for id in known.parts]
    parts = gather(partial(client.find, path, absent=(403, 404)) for path in paths)
    return [*([one] if one else []), *(each["project"] for each in parts if each)]


def project_of(client: ApiClient, id: str) -> Json:
    """Return the project of an id."""
    return dict(client.get(f"/api/v1/projects/{id}")["project"])


def projects(client: ApiClient) -> list[Json]:
    """Return the projects for secrets that the client may see, as the server lists them."""
    answer = client.get("/api/v1/projects", params={"type": "secret-manager"})
    return list(answer["projects"])


def slug_of(client: ApiClient, id: str) -> str | None:
    """Return the current slug of a project, None if it is gone or the client may not see it."""
    found = client.find(f"/api/v1/projects/{id}", absent=(403, 404))
    return str(found["project"]["slug"]) if found else None


def folders(client: ApiClient, project: str, environment: str) -> dict[str, str]:
    """Return the ids of all folders of an environment but its root, by path."""
    at = {"projectId": project, "environment": environment, "path": "/", "recursive": "true"}
    listed = client.get("/api/v2/folders", params=at)["folders"]
    return {each["relativePath"]: each["id"] for each in listed}


def secrets_of(client: ApiClient, project: Json, *, values: bool = True) -> dict[str, list[Json]]:
    """Return all secrets of a project by the slug of the environment, as `secrets` lists them."""
    slugs = [each["slug"] for each in project["environments"]]
    return gather_by(slugs, lambda slug: secrets(client, project["id"], slug, values=values))


def secrets(
    client: ApiClient,
    project: str,
    environment: str,
    *,
    folder: str | None = None,
    values: bool = True,
    expand: bool = False,
) -> list[Json]:
    """Return the secrets of an environment as the server lists them, without imported ones.

    Args:
        folder: the one folder to list; None for all of them.
        values: whether their values are asked for.
        expand: whether references are replaced; the server's own default is to replace them.
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


def path_of(name: str) -> str:
    """Return the path of one secret in the server's API."""
    return f"/api/v4/secrets/{quote(name, safe='')}"


def secret(
    client: ApiClient,
    project: str,
    environment: str,
    folder: str,
    name: str,
    *,
    version: int | None = None,
) -> Json | None:
    """Return a secret with its value as stored, references not expanded; None if there is none.

    Args:
        version: an earlier version to return; its `updatedAt` is the time when it was written.
    """
    query: Json = {
        "projectId": project,
        "environment": environment,
        "secretPath": folder,
        "expandSecretReferences": "false",
        "includeImports": "false",
        **({} if version is None else {"version": str(version)}),
    }
    try:
        return dict(client.get(path_of(name), params=query)["secret"])
    except AnswerError as error:
        if error.status != 404:
            raise
        return None


def is_visible(client: ApiClient, project: str, environment: str, folder: str, name: str) -> bool:
    """Return whether the client may see a secret of a folder, even if the secret does not exist.

    A list of secrets does not show that: for a folder that the client may not see, the list is
    empty too. Asked for one secret, the server answers 403 before it searches for the secret
    (measured), and 404 if the secret does not exist.
    """
    query = {
        "projectId": project,
        "environment": environment,
        "secretPath": folder,
        "viewSecretValue": "false",
    }
    try:
        client.get(path_of(name), params=query)
    except AnswerError as error:
        if error.status not in (403, 404):
            raise
        return error.status == 404
    return True
