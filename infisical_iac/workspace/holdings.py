"""Read what environments hold: folders and imports with their ids, and the number of secrets."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.lists import gather
from infisical_iac.workspace.readable import Names
from infisical_iac.workspace.state import Actual, EnvironmentState, Import


def read_names(client: Client, actual: Actual) -> Names:
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


@dataclass(frozen=True)
class Holding:
    """Hold what one environment holds; `folders` are ids by path."""

    environment: EnvironmentState
    folders: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[Import, ...] = ()


def read(client: Client, project: str, environments: Sequence[EnvironmentState]) -> list[Holding]:
    """Read what environments of a project hold, all folders side by side.

    Raises ApiError or Unreachable.
    """
    folders = gather(
        [partial(contents.folders, client, project, each.slug) for each in environments]
    )
    places = [
        (environment.slug, folder)
        for environment, paths in zip(environments, folders, strict=True)
        for folder in paths
    ]
    read = gather([partial(read_imports, client, project, *place) for place in places])
    imports = dict(zip(places, read, strict=True))
    return [
        Holding(each, paths, tuple(one for path in paths for one in imports[each.slug, path]))
        for each, paths in zip(environments, folders, strict=True)
    ]


def count_secrets(client: Client, project: str, environment: str) -> Mapping[str, int]:
    """Return how many secrets each folder of an environment has.

    Raises ApiError or Unreachable.
    """
    return Counter(folder for folder, _ in in_environment(client, project, environment))


def read_imports(client: Client, project: str, environment: str, folder: str) -> list[Import]:
    """Return the imports into a folder in their order. Raises ApiError or Unreachable."""
    at = {"projectId": project, "environment": environment, "path": folder}
    listed = client.get("/api/v2/secret-imports", params=at)["secretImports"]
    read = [
        Import(
            each["id"], folder, (each["importEnv"]["id"], each["importPath"]), int(each["position"])
        )
        for each in listed
        # What the server makes beside a replicated import is not for anybody to change.
        if not each.get("isReserved")
    ]
    return sorted(read, key=lambda each: each.position)
