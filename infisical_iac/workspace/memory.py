"""Keep the memory of a host from one run to the next.

The ids of objects identify those that were renamed by hand. The list of environments, folders and
imports that runs made replaces a mark, for which Infisical has no place.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from infisical_iac.agent import contents
from infisical_iac.agent.api import gather_by
from infisical_iac.agent.privileges import PRIVILEGE
from infisical_iac.api.client import Client
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.workspace import environment_contents
from infisical_iac.workspace.goal import Goal, Layout, Memory, Move, pair, parts_of, split
from infisical_iac.workspace.model import Isolation, ServiceAccount, Workspace
from infisical_iac.workspace.privileges import find_privilege, folders_of
from infisical_iac.workspace.state import Actual, ApiChange, Call, EnvironmentState

FILE = contents.MEMORY

# The kind of object by the last part of the path of the request that makes it.
_KINDS = {
    "environments": "environment",
    "/api/v2/folders": "folder",
    "/api/v2/secret-imports": "import",
}


def find_project(client: Client, slug: str, memory: Memory) -> tuple[dict[str, Any] | None, str]:
    """Return the project of a slug or None, and the id of another project that took the slug.

    The project is the one remembered under this slug, even if it was renamed since.
    """
    return contents.find_project(client, slug, known_projects(memory))


def known_projects(memory: Memory) -> contents.KnownProjects:
    """Return the projects in a memory, as the agent reads them."""
    parts = tuple(each.project for each in memory.parts.values() if each.project)
    return contents.KnownProjects(memory.project, memory.slug, parts, memory.fell_back)


def find_listed(
    projects: Sequence[Mapping[str, Any]], memory: Memory
) -> tuple[dict[str, Any] | None, str]:
    """Return what `find_project` does for the slug in the memory, from a list of projects."""
    named = next((dict(each) for each in projects if each["slug"] == memory.slug), None)
    known = next((dict(each) for each in projects if each["id"] == memory.project), None)
    if known is None or known == named:
        return named, ""
    return known, str(named["id"]) if named else ""


def locate(client: Client, goal: Goal, *, partly: bool = False, known_only: bool = False) -> Layout:
    """Return where the folders of the project file are. Raises UserError if a project is missing.

    Projects are found by the memory, or else by their slugs.

    Args:
        partly: whether some of several projects may be missing, as for an identity that sees only
            its own.
        known_only: whether a project may be missing if the memory does not know it either.
    """
    listed = contents.projects(client)
    missing = ""
    found: dict[tuple[str, str], str] = {}
    for each in split(goal).values():
        slug = each.desired.project.slug
        # If the file names another project than in the last run, the memory does not count.
        memory = each.memory if each.memory.slug == slug else Memory(slug=slug)
        project, _ = find_listed(listed, memory)
        if each.key and goal.memory.parts and not memory.project:
            project = None  # An apply first finds out who made the project that has the slug.
        if project is None and (memory.project or not known_only):
            missing = missing or slug
        if not each.key:
            if project:
                return Layout(project["id"])
            break
        service = next(iter(each.desired.services.values()), None)
        (folder,) = each.desired.shared_folders or (service.folder if service else "",)
        found[each.desired.environments[0].slug, folder] = project["id"] if project else ""
    if missing and not (partly and any(found.values())):
        raise UserError(
            f"there is no project {missing} in Infisical: run `infisical-iac workspace apply` "
            "first",
            code="error.no_project",
        )
    return Layout(parts=found)


def refuse_unmoved(goal: Goal) -> None:
    """Raise Refused if the secrets are still where another isolation had them.

    A deploy would give services empty projects, and leave the secrets in places that it no longer
    keeps.
    """
    memory = goal.memory
    if memory.move is not None and not memory.move.ending:
        return
    slugs = [memory.slug] if memory.project else []
    slugs, wanted = (
        (slugs, memory.parts)
        if goal.is_split
        else ([each.slug for each in memory.parts.values()], memory.project)
    )
    if goal.is_split and memory.environments and not slugs and not wanted:
        raise Refused(
            "isolation is 'projects', but the last run was by an earlier infisical-iac, which did "
            "not record the project of the secrets: set isolation back and run `infisical-iac "
            "apply` first",
            code="refused.isolation",
        )
    if slugs and not wanted:
        where = slugs[0] if len(slugs) == 1 else f"{slugs[0]} and {len(slugs) - 1} other projects"
        raise Refused(
            f"isolation is {goal.isolation!r}, but the secrets are in {where}: run "
            f"`infisical-iac isolation apply --to {'projects' if goal.is_split else 'privilege'}`, "
            "which moves them",
            code="refused.isolation",
        )


def list_isolation_notes(goal: Goal) -> list[str]:
    """Return sentences on a move of secrets that has not ended, and on a replaced isolation."""
    move, notes = goal.memory.move, []
    if move:
        notes.append(
            f"the move of the secrets to isolation {move.to!r}, begun at {move.since}, has not "
            "ended: `infisical-iac isolation finish` ends it, `infisical-iac isolation undo` takes "
            "it back"
        )
    if goal.memory.fell_back:
        notes.append(
            "this release did not enforce privileges when it was set up, so each service has a "
            "project of its own: set isolation = 'projects' in your settings"
        )
    return notes


def former_folder(desired: Workspace, account: ServiceAccount, actual: Actual) -> str:
    """Return the folder of a service under its former name, if the rename changes the folder.

    The folder is found in the permissions of the service, whose other folders are all shared. The
    result is empty if the folder is unknown or stays, or if it would move into another folder,
    which Infisical can't do.
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

    These are the folders of the last run, and the folders of services that are still to be renamed.

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
    return _memory(found)


def _memory(found: Any) -> Memory:
    if not isinstance(found, dict):
        return Memory()
    if not isinstance(found.get("environments"), dict):
        return Memory(_texts(found))
    folders, project, parts = (found.get(key) for key in ("folders", "project", "parts"))
    made = found.get("made") if isinstance(found.get("made"), list) else ()
    return Memory(
        _texts(found["environments"]),
        frozenset(id for id in made if isinstance(id, str))
        if isinstance(made, list)
        else frozenset(),
        {id: _texts(paths) for id, paths in folders.items()} if isinstance(folders, dict) else {},
        _texts(found.get("identities")),
        _texts(project).get("id", ""),
        _texts(project).get("slug", ""),
        _texts(found).get("canary", ""),
        {key: _memory(each) for key, each in parts.items()} if isinstance(parts, dict) else {},
        _move(found.get("move")),
        found.get("fell_back") is True,
        # An earlier release recorded only the fallback.
        True in (found.get("unenforced"), found.get("fell_back")),
    )


def _move(found: Any) -> Move | None:
    if not isinstance(found, dict) or found.get("to") not in get_args(Isolation):
        return None
    existing, versions = found.get("existing"), found.get("versions")
    return Move(
        found["to"],
        str(found.get("since", "")),
        frozenset(existing if isinstance(existing, list) else ()),
        {
            key: (here, there)
            for key, (here, there) in (versions if isinstance(versions, dict) else {}).items()
        },
        str(found.get("ending", "")),
    )


def _texts(found: Any) -> dict[str, str]:
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def render(memory: Memory) -> str:
    """Return the file's content."""
    parts = {key: _of_project(each) for key, each in sorted(memory.parts.items())}
    content = {
        **_of_project(memory),
        "identities": dict(memory.identities),
        "canary": memory.canary,
        **({"parts": parts} if parts else {}),
        **({"move": _of_move(memory.move)} if memory.move else {}),
        **({"fell_back": True} if memory.fell_back else {}),
        **({"unenforced": True} if memory.unenforced else {}),
    }
    return json.dumps(content, indent=2) + "\n"


def _of_move(move: Move) -> dict[str, Any]:
    return {
        "to": move.to,
        "since": move.since,
        "existing": sorted(move.existing),
        "versions": {key: list(each) for key, each in move.versions.items()},
        "ending": move.ending,
    }


def _of_project(memory: Memory) -> dict[str, Any]:
    return {
        "environments": dict(memory.environments),
        "made": sorted(memory.made),
        "folders": {id: dict(paths) for id, paths in memory.folders.items()},
        "project": {"id": memory.project, "slug": memory.slug},
    }


def remember(goal: Goal, actual: Actual) -> Memory:
    """Return the memory with the ids of objects, from an actual state without differences.

    An object keeps its remembered name while another object with that name blocks it.
    """
    memory = goal.memory
    found = {name: each.identity.id for name, each in actual.accounts.items()}
    # An identity that was renamed with its service loses its former name here.
    kept = {name: id for name, id in memory.identities.items() if id not in found.values()}
    memory = replace(memory, identities={**kept, **found})
    memory = replace(memory, move=_forget_copies(goal, actual))
    if not goal.is_split:
        return _remember_project(goal, actual, memory) if actual.project else memory
    former = {part.former_key for part in parts_of(goal.desired)}
    parts = {key: each for key, each in memory.parts.items() if key not in former}
    for each, there in pair(goal, actual):
        if there.project:
            parts[each.key] = replace(_remember_project(each, there, each.memory), identities={})
    return replace(memory, parts=parts)


def _forget_copies(goal: Goal, actual: Actual) -> Move | None:
    """Return the move without copies in projects that were deleted and are created again.

    Otherwise their secrets would count as deleted by a person, and would not be copied again.
    """
    move = goal.memory.move
    if move is None or (goal.isolation == "projects") != (move.to == "projects"):
        return move
    lost = {
        (environment.slug, folder)
        for each, there in pair(goal, actual)
        if there.project and each.memory.project not in ("", there.project.id)
        for environment in each.desired.environments
        for folder in ([*each.desired.folders] if each.key else [""])
    }
    return replace(
        move,
        versions={
            key: versions
            for key, versions in move.versions.items()
            if not any(_is_in(key, *each) for each in lost)
        },
    )


def _is_in(key: str, environment: str, folder: str) -> bool:
    """Return whether a key of `Move.versions` is in a folder; an empty folder means any."""
    slug, path, _ = key.split(" ", 2)
    return slug == environment and f"{path}/".startswith(f"{folder}/")


def _remember_project(goal: Goal, actual: Actual, memory: Memory) -> Memory:
    assert actual.project is not None
    desired = goal.desired
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
    memory = remember(goal, actual)
    if not goal.is_split:
        return replace(memory, made=goal.memory.made | _learn_ids(client, actual, made))
    ids = gather_by(actual.parts, lambda key: _learn_ids(client, actual.parts[key], made))
    parts = {
        key: replace(each, made=each.made | ids.get(key, frozenset()))
        for key, each in memory.parts.items()
    }
    return replace(memory, parts=parts)


def _learn_ids(client: Client, actual: Actual, made: Sequence[ApiChange]) -> frozenset[str]:
    """Return the ids of what changes made in a project, with its own if it is one of several."""
    if actual.project is None:
        return frozenset()
    ids = {actual.project.id, actual.placeholder}
    here = [each for each in made if any(_concerns(call, ids) for call in each.calls)]
    if not any(_posts(here)):
        return frozenset()
    found = made_ids(
        here, environment_contents.read(client, actual.project.id, actual.environments)
    )
    is_made = actual.slug and any(
        call.makes == actual.placeholder for each in here for call in each.calls
    )
    return found | {actual.project.id} if is_made else found


def _concerns(call: Call, ids: Collection[str]) -> bool:
    """Return whether a request makes a project, or something in it, by its ids."""
    body = call.body or {}
    return (
        call.makes in ids or body.get("projectId") in ids or any(each in ids for each in call.path)
    )


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
