"""Read the contents of environments: folders and imports with their ids, and secret counts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.lists import gather_by
from infisical_iac.workspace.readable import Names
from infisical_iac.workspace.state import Actual, EnvironmentState, Import


def read_names(client: Client, actual: Actual) -> Names:
    """Return the names of secrets by environment and folder, in the environments' order."""
    slugs = [each.slug for each in actual.environments]
    return collect(slugs, partial(in_environment, client, actual.project_id))


def collect(slugs: Sequence[str], listed: Callable[[str], Iterable[tuple[str, str]]]) -> Names:
    """Return the names of secrets by environment and folder; environments are read in parallel.

    Args:
        listed: returns folder and name of each secret of an environment, like `in_environment`.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for slug, secrets in gather_by(slugs, listed).items():
        for folder, name in secrets:
            names.setdefault((slug, folder), []).append(name)
    return names


def in_environment(client: Client, project: str, slug: str) -> list[tuple[str, str]]:
    """Return folder and name of each secret of an environment, sorted."""
    listed = contents.secrets(client, project, slug, values=False)
    return sorted((each["secretPath"], each["secretKey"]) for each in listed)


def read(
    client: Client, project: str, environments: Sequence[EnvironmentState]
) -> list[EnvironmentState]:
    """Return environments of a project with their folders and imports, read in parallel."""
    paths = gather_by(
        [each.slug for each in environments], partial(contents.folders, client, project)
    )
    places = [(slug, folder) for slug, folders in paths.items() for folder in folders]
    imports = gather_by(places, lambda place: read_imports(client, project, *place))
    return [
        replace(
            each,
            folders=paths[each.slug],
            imports={path: imports[each.slug, path] for path in paths[each.slug]},
        )
        for each in environments
    ]


def count_secrets(client: Client, project: str, environment: str) -> Mapping[str, int]:
    """Return how many secrets each folder of an environment has."""
    return Counter(folder for folder, _ in in_environment(client, project, environment))


def read_imports(client: Client, project: str, environment: str, folder: str) -> list[Import]:
    """Return the imports into a folder in their order."""
    at = {"projectId": project, "environment": environment, "path": folder}
    listed = client.get("/api/v2/secret-imports", params=at)["secretImports"]
    read = [
        Import(
            each["id"], folder, (each["importEnv"]["id"], each["importPath"]), int(each["position"])
        )
        for each in listed
        # The server makes an import next to a replicated one, which nobody can change.
        if not each.get("isReserved")
    ]
    return sorted(read, key=lambda each: each.position)
