"""What environments hold: folders and imports with their ids, and the number of secrets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.parallel import gather
from infisical_iac.workspace.secret_names import in_environment
from infisical_iac.workspace.state import EnvironmentState


class Import(NamedTuple):
    """An import into a folder; its source is an environment's id and a folder there."""

    id: str
    folder: str
    source: tuple[str, str]


@dataclass(frozen=True)
class Holding:
    """What one environment holds; `folders` are ids by path."""

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
    read = gather([partial(_imports, client, project, *place) for place in places])
    imports = dict(zip(places, read, strict=True))
    return [
        Holding(each, paths, tuple(one for path in paths for one in imports[each.slug, path]))
        for each, paths in zip(environments, folders, strict=True)
    ]


def count_secrets(client: Client, project: str, environment: str) -> Mapping[str, int]:
    """How many secrets each folder of an environment has.

    Raises ApiError or Unreachable.
    """
    return Counter(folder for folder, _ in in_environment(client, project, environment))


def _imports(client: Client, project: str, environment: str, folder: str) -> list[Import]:
    at = {"projectId": project, "environment": environment, "path": folder}
    listed = client.get("/api/v2/secret-imports", params=at)["secretImports"]
    return [
        Import(each["id"], folder, (each["importEnv"]["id"], each["importPath"])) for each in listed
    ]
