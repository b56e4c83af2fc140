"""What Infisical has, read for comparing: values as they are stored, or as they are expanded."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.api.parallel import gather
from infisical_iac.migrate.plan_file import MigrationError
from infisical_iac.migrate.secret import Name, Stored


def project_id(client: Client, slug: str) -> str:
    """The id of a project; raises MigrationError if there is none of this slug."""
    try:
        return str(client.get(f"/api/v1/projects/slug/{slug}")["id"])
    except ApiError as error:
        if error.status != 404:
            raise
        raise MigrationError(
            f"there is no project {slug} in Infisical: run `infisical-iac workspace apply` first"
        ) from None


def read(
    client: Client, project: str, environments: Iterable[str], *, expand: bool = False
) -> dict[Name, Stored]:
    """Every secret of some environments, in one request each.

    Args:
        expand: whether references are replaced, which whoever asks without saying gets.

    Raises ApiError or Unreachable, and MigrationError for an environment that isn't there.
    """
    slugs = sorted(set(environments))
    answers = gather([partial(_list, client, project, slug, expand) for slug in slugs])
    return {
        Name(slug, each["secretPath"], each["secretKey"]): Stored(
            each["secretValue"], each["secretComment"], each["secretValueHidden"]
        )
        for slug, answer in zip(slugs, answers, strict=True)
        for each in answer["secrets"]
    }


def folders(client: Client, project: str, environment: str) -> set[str]:
    """Every folder of an environment but its root; raises ApiError or Unreachable."""
    at = {"projectId": project, "environment": environment, "path": "/", "recursive": "true"}
    return {each["relativePath"] for each in client.get("/api/v2/folders", params=at)["folders"]}


def _list(client: Client, project: str, environment: str, expand: bool) -> dict[str, Any]:
    query = {
        "projectId": project,
        "environment": environment,
        "secretPath": "/",
        "recursive": "true",
        "expandSecretReferences": str(expand).lower(),
        "includeImports": "false",
    }
    try:
        return client.get("/api/v4/secrets", params=query)
    except ApiError as error:
        if error.status != 404:
            raise
        raise MigrationError(
            f"there is no environment {environment} in Infisical: "
            "run `infisical-iac workspace apply` first"
        ) from None
