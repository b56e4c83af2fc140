"""Read the contents of environments, and find the secrets that a member could read.

A secret whose condition cannot be evaluated here, such as one on tags, counts as readable: a
needless rotation does no harm. For the same reason a permission that forbids is ignored.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal, get_args

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather_by
from infisical_iac.agent.privileges import as_list
from infisical_iac.api.client import Client
from infisical_iac.workspace.state import Actual, EnvironmentState, Import, PersonState, Privilege

Names = Mapping[tuple[str, str], Collection[str]]
"""Names of secrets by environment and folder."""

_READING = frozenset({"read", "readValue", "*"})
_PLAIN_GLOB = re.compile(r"[A-Za-z0-9_/*-]+")
_GLOB_PARTS = {"/**": "(?:/.*)?", "**": ".*", "*": "[^/]*"}


def read_names(client: Client, actual: Actual) -> Names:
    """Return the names of secrets by environment and folder, in the environments' order."""
    places = [(actual.project_id, each.slug) for each in actual.environments]
    return collect(places, lambda place: in_environment(client, *place))


def collect(
    places: Sequence[tuple[str, str]],
    listed: Callable[[tuple[str, str]], Iterable[tuple[str, str]]],
) -> Names:
    """Return the names of secrets by environment and folder; the places are read in parallel.

    Args:
        places: a project's id and an environment each.
        listed: returns folder and name of each secret of a place, like `in_environment`.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for (_, slug), secrets in gather_by(places, listed).items():
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
    return add_imports(
        client, project, [replace(each, folders=paths[each.slug]) for each in environments], {}
    )


def add_imports(
    client: Client,
    project: str,
    environments: Sequence[EnvironmentState],
    known: Mapping[tuple[str, str], Sequence[Import]],
) -> list[EnvironmentState]:
    """Return environments with the imports into all of their folders, read in parallel.

    Args:
        known: imports that were read already, by the slug of the environment and the folder.
    """
    places = [(each.slug, folder) for each in environments for folder in each.folders]
    missing = [place for place in places if place not in known]
    read = gather_by(missing, lambda place: read_imports(client, project, *place))
    imports = {**known, **read}
    return [
        replace(each, imports={path: imports[each.slug, path] for path in each.folders})
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
        # The server adds a reserved import next to a replicated one, and nobody can change it.
        if not each.get("isReserved")
    ]
    return sorted(read, key=lambda each: each.position)


def readable(person: PersonState, names: Names) -> list[str]:
    """Return the secrets that a person could read, such as `production /backend DATABASE_URL`.

    Args:
        names: all secrets, as `read_names` returns them; the result has their order.
    """
    return [" ".join(each) for each in list_readable(person.roles, person.privileges or (), names)]


def list_readable(
    roles: Iterable[str], privileges: Iterable[Privilege], names: Names
) -> list[tuple[str, str, str]]:
    """Return environment, folder and name of each secret that roles and privileges show."""
    everything = any(map(_reads_all, roles))
    granted = [rule for each in privileges for rule in each.permissions]
    return [
        (environment, folder, name)
        for (environment, folder), here in names.items()
        for name in here
        if everything
        or any(
            _permits(rule, {"environment": environment, "secretPath": folder, "secretName": name})
            for rule in granted
        )
    ]


Level = Literal["", "names", "reads", "writes", "manages"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""The levels of access to the secrets of a folder, each after those that it includes."""

_LEVELS_OF_ROLES: Mapping[str, Level] = {
    "no-access": "",
    "viewer": "reads",
    "member": "writes",
    "admin": "manages",
}
_CHANGING = frozenset({"create", "edit", "delete", "*"})


def find_level(
    roles: Iterable[str], privileges: Iterable[Privilege], environment: str, folder: str
) -> Level:
    """Return the level of access that roles and privileges give to a folder or some secrets in it.

    A custom role counts as one that reads.
    """
    found: list[Level] = [
        _LEVELS_OF_ROLES.get(role.removesuffix(" for a time"), "reads") for role in roles
    ]
    kinds: Sequence[tuple[Level, str, Collection[str]]] = (
        ("manages", "secret-folders", _CHANGING),
        ("writes", "secrets", _CHANGING),
        ("reads", "secrets", _READING),
        ("names", "secrets", {"describeSecret"}),
    )
    place = {"environment": environment, "secretPath": folder}
    found += [
        level
        for each in privileges
        for rule in each.permissions
        for level, subject, actions in kinds
        if _permits(rule, place, subject, actions)
    ]
    return max(found, key=LEVELS.index, default="")


def _reads_all(role: str) -> bool:
    # Every role but this one reads secrets, or is a custom one whose permissions aren't known.
    return role.removesuffix(" for a time") != "no-access"


def _permits(
    rule: Mapping[str, Any],
    place: Mapping[str, str],
    subject: str = "secrets",
    actions: Collection[str] = _READING,
) -> bool:
    conditions = rule.get("conditions") or {}
    return (
        not rule.get("inverted")
        and not {subject, "*"}.isdisjoint(as_list(rule["subject"]))
        and not set(actions).isdisjoint(as_list(rule["action"]))
        and all(_holds(conditions[key], place[key]) for key in conditions.keys() & place.keys())
    )


def _holds(condition: Any, value: str) -> bool:
    if isinstance(condition, str):
        return condition == value
    return all(_passes(operator, operand, value) for operator, operand in condition.items())


def _passes(operator: str, operand: Any, value: str) -> bool:
    match operator:
        case "$eq":
            return bool(value == operand)
        case "$ne":
            return bool(value != operand)
        case "$in":
            return value in operand
        case "$glob":
            return _matches(operand, value)
    return True


def _matches(glob: str, value: str) -> bool:
    return not _PLAIN_GLOB.fullmatch(glob) or _pattern(glob).fullmatch(value) is not None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(/\*\*|\*\*|\*)", glob)
    return re.compile("".join(_GLOB_PARTS.get(part, re.escape(part)) for part in parts))
