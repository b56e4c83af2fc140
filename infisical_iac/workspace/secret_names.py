"""The names of all secrets, and never a value."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.parallel import gather
from infisical_iac.workspace.readable import Names
from infisical_iac.workspace.state import Actual


def read(client: Client, actual: Actual) -> Names:
    """The names of secrets by environment and folder, in the environments' order.

    Args:
        client: with the token of the deployer, who sees every secret.

    Raises ApiError or Unreachable.
    """
    if actual.project is None:
        return {}
    id = actual.project.id
    slugs = [each.slug for each in actual.environments]
    return collect(slugs, partial(in_environment, client, id))


def collect(slugs: Sequence[str], listed: Callable[[str], Iterable[tuple[str, str]]]) -> Names:
    """The names by environment and folder, of environments that are read side by side.

    Args:
        listed: folder and name of each secret of an environment, as `in_environment` tells them.
    """
    found = gather([partial(listed, slug) for slug in slugs])
    names: dict[tuple[str, str], list[str]] = {}
    for slug, secrets in zip(slugs, found, strict=True):
        for folder, name in secrets:
            names.setdefault((slug, folder), []).append(name)
    return names


def in_environment(client: Client, project: str, slug: str) -> list[tuple[str, str]]:
    """Folder and name of each secret of an environment, sorted.

    Raises ApiError or Unreachable.
    """
    listed = contents.secrets(client, project, slug, values=False)
    return sorted((each["secretPath"], each["secretKey"]) for each in listed)
