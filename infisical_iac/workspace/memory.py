"""Keep what a host remembers from one run to the next.

Which object is which, so that one renamed by hand is known again; and which environments, folders
and imports the runs made, for Infisical has nowhere to mark them.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.workspace import holdings
from infisical_iac.workspace.change import Call, Change
from infisical_iac.workspace.model import (
    PRIVILEGE,
    Isolation,
    ServiceAccount,
    Workspace,
    find_privilege,
    folders_of,
)
from infisical_iac.workspace.state import Actual, EnvironmentState

_NOTHING: frozenset[str] = frozenset()
# By the last part of the path of the request that makes one.
_KINDS = {
    "environments": "environment",
    "/api/v2/folders": "folder",
    "/api/v2/secret-imports": "import",
}


@dataclass(frozen=True)
class Memory:
    """Hold what is known of earlier runs.

    Attributes:
        environments: slug to id, as after the last run.
        made: ids of the environments, folders and imports that runs made. What is not among
            them was there before, or somebody made it by hand, or a run that did not get to
            its end: it is never deleted.
        folders: path to id, by the id of the environment.
        identities: name to id, also of those that the file no longer names.
        project: the id of the project; empty where only an earlier release ran.
        slug: what the project was called then.
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
        """The memory once environments and identities, told by their ids, were deleted.

        Environments still count as made, for a deleted one can be restored.
        """
        return replace(
            self,
            environments={slug: id for slug, id in self.environments.items() if id not in ids},
            identities={name: id for name, id in self.identities.items() if id not in ids},
        )


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Hold what is wanted inside an Infisical, and what is known of it from before.

    Attributes:
        isolation: `privilege` lets a service read its own folders only; `viewer` everything, and
            the server need not have the API of privileges then.
        admin_email: the first administrator, who must be an admin of the project.
        memory: of earlier runs, so that what was renamed is known again; empty on a first run.
    """

    desired: Workspace
    isolation: Isolation
    admin_email: str
    memory: Memory = field(default_factory=Memory)


def find_project(client: Client, slug: str, memory: Memory) -> tuple[dict[str, Any] | None, str]:
    """Return the project that a slug means, None without one, and the id of a usurper of the slug.

    It is the one that is remembered under this slug, whatever it is called now.
    """
    named = contents.project(client, slug)
    if not memory.project or memory.slug != slug or (named and named["id"] == memory.project):
        return named, ""
    now = contents.slug_of(client, memory.project)
    known = contents.project(client, now) if now else None
    return (known, named["id"] if named else "") if known else (named, "")


def former_folder(desired: Workspace, account: ServiceAccount, actual: Actual) -> str:
    """Return the folder of a service that is still to be renamed, if it gets another one there.

    What it may read tells it: all but one are shared folders. Empty where that can't be told, where
    the folder stays, or where it would have to go into another one, which no folder can.
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
    """Return the ids of an environment's folders by the path that each should have.

    They are those of the last run, and those of services that are still to be renamed.

    Args:
        slug: that the environment should have.
        there: the environment as it is.
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
    """The memory in a file's content; an empty one where the content says nothing.

    A file that holds nothing but slugs and ids, as it once was, tells of nothing made.
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
    """The file's content."""
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
    """Return the memory with which object is which, in a state that is as the file says.

    What is still there keeps its name in it where that is blocked, since another object has it.
    """
    desired, memory = goal.desired, goal.memory
    found = {name: each.identity.id for name, each in actual.accounts.items()}
    # One that was renamed with its service is forgotten under its former name.
    kept = {name: id for name, id in memory.identities.items() if id not in found.values()}
    identities = {**kept, **found}
    if actual.project is None:
        return replace(memory, identities=identities)
    by_id = {each.id: each for each in actual.environments}
    slugs = [each.slug for each in desired.environments]
    kept = {each: id for each in slugs if (id := memory.environments.get(each, "")) in by_id}
    others = {each.slug: each.id for each in by_id.values() if each.id not in kept.values()}
    environments = {**others, **kept}
    is_known = actual.usurper and actual.project.id == memory.project
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


def learn(client: Client, goal: Goal, actual: Actual, made: Sequence[Change]) -> Memory:
    """Return the memory after a run.

    Args:
        actual: as read after the last change.
        made: the changes of the run; nothing is read unless they made something to remember.
    """
    ids = goal.memory.made
    if actual.project and any(_posts(made)):
        ids |= made_ids(made, holdings.read(client, actual.project.id, actual.environments))
    return replace(remember(goal, actual), made=ids)


def made_ids(made: Iterable[Change], held: Iterable[EnvironmentState]) -> frozenset[str]:
    """The ids of what changes made, found again in what environments hold afterwards.

    The server refuses to make what is there already: what a change made is this project's own.
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


def _posts(made: Iterable[Change]) -> Iterator[Call]:
    calls = (call for change in made for call in change.calls)
    return (call for call in calls if call.method == "POST" and call.path[-1] in _KINDS)


def _key(call: Call) -> tuple[str, ...]:
    kind, body = _KINDS[call.path[-1]], call.body or {}
    if kind == "environment":
        return kind, body["slug"]
    if kind == "folder":
        return kind, body["environment"], f"{body['path'].rstrip('/')}/{body['name']}"
    return kind, body["environment"], body["path"], body["import"]["path"]
