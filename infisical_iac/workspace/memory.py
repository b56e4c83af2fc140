"""Keep the memory of a host from one run to the next.

The ids of objects identify those that were renamed by hand. The list of environments, folders and
imports that runs made replaces a mark, for which Infisical has no place.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.workspace import environment_contents
from infisical_iac.workspace.api_change import ApiChange, Call
from infisical_iac.workspace.model import (
    PRIVILEGE,
    Isolation,
    ServiceAccount,
    Workspace,
    find_privilege,
    folders_of,
)
from infisical_iac.workspace.second_factor import SecondFactors
from infisical_iac.workspace.state import Actual, EnvironmentState

_NOTHING: frozenset[str] = frozenset()
# The kind of object by the last part of the path of the request that makes it.
_KINDS = {
    "environments": "environment",
    "/api/v2/folders": "folder",
    "/api/v2/secret-imports": "import",
}


@dataclass(frozen=True)
class Memory:
    """The results of earlier runs.

    Attributes:
        environments: slug to id, as after the last run.
        made: ids of the environments, folders and imports that runs made. Nothing else is ever
            deleted, as it may be older, or made by a person or by an interrupted run.
        folders: path to id, by the id of the environment.
        identities: name to id, also of those that the file no longer names.
        project: the id of the project; empty where only an earlier release ran.
        slug: the slug of the project in the last run.
        canary: the id of the canary's project.
    """

    environments: Mapping[str, str] = field(default_factory=dict)
    made: frozenset[str] = _NOTHING
    folders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    slug: str = ""
    canary: str = ""

    def without(self, ids: Collection[str]) -> "Memory":
        """Return the memory without deleted environments and identities, given by their ids.

        Deleted environments still count as made, since they can be restored.
        """
        return replace(
            self,
            environments={slug: id for slug, id in self.environments.items() if id not in ids},
            identities={name: id for name, id in self.identities.items() if id not in ids},
        )


@dataclass(frozen=True, kw_only=True)
class Goal:
    """The desired state of an Infisical, and the memory of earlier runs.

    Attributes:
        isolation: with `privilege` a service reads only its own folders; with `viewer` it reads
            everything, and the server needs no API of privileges.
        admin_email: the first administrator, who must be an admin of the project.
        memory: of earlier runs, which identifies renamed objects; empty on a first run.
        factors: the second factors of people, if the file requires them and a host can be asked.
    """

    desired: Workspace
    isolation: Isolation
    admin_email: str
    memory: Memory = field(default_factory=Memory)
    factors: SecondFactors = field(default_factory=SecondFactors)


def find_project(client: Client, slug: str, memory: Memory) -> tuple[dict[str, Any] | None, str]:
    """Return the project of a slug or None, and the id of another project that took the slug.

    The project is the one remembered under this slug, also if it was renamed.
    """
    named = contents.project(client, slug)
    if not memory.project or memory.slug != slug or (named and named["id"] == memory.project):
        return named, ""
    now = contents.slug_of(client, memory.project)
    known = contents.project(client, now) if now else None
    return (known, named["id"] if named else "") if known else (named, "")


def former_folder(desired: Workspace, account: ServiceAccount, actual: Actual) -> str:
    """Return the folder of a service under its former name, if the rename changes the folder.

    Its permissions show the folder: all others that it may read are shared. The result is empty if
    the folder is unknown, if it stays, or if it would move into another one, which Infisical can't
    do.
    """
    there = actual.accounts.get(account.identity)
    if not account.former or there is None or there.identity.name == account.identity:
        return ""
    held = find_privilege(there.privileges, PRIVILEGE, ())
    own = {*folders_of(held)} - {*desired.shared_folders} if held else set()
    (folder,) = own if len(own) == 1 else ("",)
    moves = folder.rpartition("/")[0] != account.folder.rpartition("/")[0]
    return "" if moves or folder in desired.folders else folder


def known_folders(
    desired: Workspace, actual: Actual, memory: Memory, slug: str, there: EnvironmentState
) -> dict[str, str]:
    """Return the ids of an environment's known folders by their desired paths.

    Known are the folders of the last run, and the folders of services that are still to be renamed.

    Args:
        slug: the desired slug of the environment.
        there: the actual environment.
    """
    last = memory.folders.get(there.id, {})
    known = dict(last)
    for account in desired.accounts():
        if account.environment == slug and (path := former_folder(desired, account, actual)):
            id, now = last.get(path), there.folders.get(path)
            if id in there.folders.values() or (id := now):
                known[account.folder] = str(id)
    return known


def parse(text: str) -> Memory:
    """Return the memory in a file's content; an empty one for an empty content.

    A file of an early release holds only slugs and ids, and lists nothing as made.
    """
    try:
        found: Any = json.loads(text or "{}")
    except ValueError:
        return Memory()
    if not isinstance(found, dict):
        return Memory()
    if not isinstance(found.get("environments"), dict):
        return Memory(_texts(found))
    made, folders, project = (found.get(key) for key in ("made", "folders", "project"))
    return Memory(
        _texts(found["environments"]),
        frozenset(id for id in made if isinstance(id, str)) if isinstance(made, list) else _NOTHING,
        {id: _texts(paths) for id, paths in folders.items()} if isinstance(folders, dict) else {},
        _texts(found.get("identities")),
        _texts(project).get("id", ""),
        _texts(project).get("slug", ""),
        _texts(found).get("canary", ""),
    )


def _texts(found: Any) -> dict[str, str]:
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def render(memory: Memory) -> str:
    """Return the file's content."""
    content = {
        "environments": dict(memory.environments),
        "made": sorted(memory.made),
        "folders": {id: dict(paths) for id, paths in memory.folders.items()},
        "identities": dict(memory.identities),
        "project": {"id": memory.project, "slug": memory.slug},
        "canary": memory.canary,
    }
    return json.dumps(content, indent=2) + "\n"


def remember(goal: Goal, actual: Actual) -> Memory:
    """Return the memory with the ids of objects, from an actual state without differences.

    An object keeps its remembered name while another object with that name blocks it.
    """
    desired, memory = goal.desired, goal.memory
    found = {name: each.identity.id for name, each in actual.accounts.items()}
    # An identity that was renamed with its service loses its former name here.
    kept = {name: id for name, id in memory.identities.items() if id not in found.values()}
    identities = {**kept, **found}
    if actual.project is None:
        return replace(memory, identities=identities)
    by_id = {each.id: each for each in actual.environments}
    slugs = [each.slug for each in desired.environments]
    kept = {each: id for each in slugs if (id := memory.environments.get(each, "")) in by_id}
    others = {each.slug: each.id for each in by_id.values() if each.id not in kept.values()}
    environments = {**others, **kept}
    is_known = actual.slug_holder and actual.project.id == memory.project
    return replace(
        memory,
        environments=environments,
        folders={
            id: _folders(
                desired,
                by_id[id].folders,
                known_folders(desired, actual, memory, slug, by_id[id]),
            )
            for slug, id in environments.items()
            if slug in slugs
        },
        identities=identities,
        project=actual.project.id,
        slug=memory.slug if is_known else actual.project.slug,
    )


def _folders(
    desired: Workspace, there: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, str]:
    kept = {path: id for path, id in known.items() if id in there.values()}
    return {path: id for path in desired.folders if (id := kept.get(path) or there.get(path))}


def learn(client: Client, goal: Goal, actual: Actual, made: Sequence[ApiChange]) -> Memory:
    """Return the memory after a run.

    Args:
        actual: as read after the last change.
        made: the changes of the run; nothing is read if they made nothing to remember.
    """
    ids = goal.memory.made
    if actual.project and any(_posts(made)):
        ids |= made_ids(
            made, environment_contents.read(client, actual.project.id, actual.environments)
        )
    return replace(remember(goal, actual), made=ids)


def made_ids(made: Iterable[ApiChange], held: Iterable[EnvironmentState]) -> frozenset[str]:
    """Return the ids of objects that changes made, looked up in the environments afterwards.

    The server refuses to make an object twice, so what a change made is this project's own.
    """
    ids: dict[tuple[str, ...], str] = {}
    for environment in held:
        ids["environment", environment.slug] = environment.id
        for path, id in environment.folders.items():
            ids["folder", environment.slug, path] = id
        for each in environment.all_imports:
            if each.source[0] == environment.id:
                ids["import", environment.slug, each.folder, each.source[1]] = each.id
    return frozenset(ids[key] for key in map(_key, _posts(made)) if key in ids)


def _posts(made: Iterable[ApiChange]) -> Iterator[Call]:
    calls = (call for change in made for call in change.calls)
    return (call for call in calls if call.method == "POST" and call.path[-1] in _KINDS)


def _key(call: Call) -> tuple[str, ...]:
    kind, body = _KINDS[call.path[-1]], call.body or {}
    if kind == "environment":
        return kind, body["slug"]
    if kind == "folder":
        return kind, body["environment"], f"{body['path'].rstrip('/')}/{body['name']}"
    return kind, body["environment"], body["path"], body["import"]["path"]
