"""Read what Infisical has, for comparing: values as they are stored, or as they are expanded."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.contents import Json
from infisical_iac.api.failures import ApiError
from infisical_iac.api.parallel import gather
from infisical_iac.migrate.model import Name, Stored
from infisical_iac.migrate.plan_file import MigrationError


def project_id(client: Client, slug: str) -> str:
    """Return the id of a project; raises MigrationError if there is none of this slug."""
    found = contents.project(client, slug)
    if found is None:
        raise MigrationError(
            f"there is no project {slug} in Infisical: run `infisical-iac workspace apply` first"
        )
    return str(found["id"])


def read(
    client: Client, project: str, environments: Iterable[str], *, expand: bool = False
) -> dict[Name, Stored]:
    """Return every secret of some environments, in one request each.

    Args:
        expand: whether references are replaced.

    Raises ApiError or Unreachable, and MigrationError for an environment that isn't there.
    """
    slugs = sorted(set(environments))
    lists = gather([partial(_list, client, project, slug, expand) for slug in slugs])
    return {
        Name(slug, each["secretPath"], each["secretKey"]): Stored(
            each["secretValue"], each["secretComment"], each["secretValueHidden"]
        )
        for slug, listed in zip(slugs, lists, strict=True)
        for each in listed
    }


def _list(client: Client, project: str, environment: str, expand: bool) -> list[Json]:
    with asking(environment):
        return contents.secrets(client, project, environment, expand=expand)


@contextmanager
def asking(environment: str) -> Iterator[None]:
    """Raises MigrationError where a request within is told that the environment isn't there."""
    try:
        yield
    except ApiError as error:
        if error.status != 404:
            raise
        raise MigrationError(
            f"there is no environment {environment} in Infisical: "
            "run `infisical-iac workspace apply` first"
        ) from None
