"""Environments of a project, their order, and their soft and hard deletion."""

from __future__ import annotations

from datetime import timedelta

from ..errors import bad_request, not_found
from ..folders import find_environment
from ..store import Document, Store, now, timestamp
from ..validation import number, slug, text
from ..web import Call, route

PATH = "/api/v1/projects/{project_id}/environments"
DEFAULT_ENVIRONMENTS = (("Development", "dev"), ("Staging", "staging"), ("Production", "prod"))
KEPT_FOR = timedelta(days=7)
NOT_DELETED = {
    "deleteAfter": None,
    "softDeletedAt": None,
    "deletedByUserId": None,
    "deletedByIdentityId": None,
}


def environments_of(store: Store, project_id: str) -> tuple[list[Document], list[Document]]:
    """Return the environments in order, and those deleted softly."""
    found = store.find("project_environments", projectId=project_id)
    found.sort(key=lambda env: env["position"])
    live = [env for env in found if not env["softDeletedAt"]]
    return live, [env for env in found if env["softDeletedAt"]]


def create_environment(
    store: Store, project_id: str, name: str, slug: str, position: int | None = None
) -> Document:
    """Make an environment with its root folder, at the end or at a position."""
    last = _last_position(store, project_id)
    place = min(position or last + 1, last + 1)
    _shift(store, project_id, place, last, 1)
    named = {"projectId": project_id, "name": name, "slug": slug, "position": place}
    environment = store.insert("project_environments", named | NOT_DELETED)
    root = {"projectId": project_id, "envId": environment["id"], "parentId": None, "name": "root"}
    rest = {"path": "/", "version": 1, "description": None, "lastSecretModified": None}
    store.insert("secret_folders", root | rest)
    return environment


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields({"name": text(1), "slug": slug(), "position": number(1).optional(None)})
    call.permissions().require("create", "environments")
    project_id = call.path["project_id"]
    taken = call.store.first("project_environments", projectId=project_id, slug=fields["slug"])
    if taken:
        raise bad_request(_describe_conflict(taken), "CreateEnvironment")
    environment = create_environment(call.store, project_id, **fields)
    return _answer("created new", environment)


@route("GET", PATH + "/slug/{slug}")
def read_by_slug(call: Call) -> Document:
    call.permissions()
    project_id, env_slug = call.path["project_id"], call.path["slug"]
    environment = find_environment(call.store, project_id, env_slug)
    if environment is None:
        raise not_found(
            f"Environment with slug '{env_slug}' in project with ID '{project_id}' not found"
        )
    return {"environment": environment}


@route("GET", PATH + "/{id}")
def read(call: Call) -> Document:
    call.permissions()
    return {"environment": _of_path(call)}


@route("PATCH", PATH + "/{id}")
def change(call: Call) -> Document:
    fields = call.fields(
        {
            "name": text(1).optional(),
            "slug": slug().optional(),
            "position": number(1).optional(),
        }
    )
    call.permissions().require("edit", "environments")
    environment = _of_path(call)
    if "slug" in fields and fields["slug"] != environment["slug"]:
        taken = call.store.first(
            "project_environments", projectId=environment["projectId"], slug=fields["slug"]
        )
        if taken:
            raise bad_request(_describe_conflict(taken), "UpdateEnvironment")
    if "position" in fields:
        fields["position"] = _move(call.store, environment, fields["position"])
    changed = call.store.update("project_environments", environment["id"], **fields)
    return _answer("updated", changed)


@route("DELETE", PATH + "/{id}")
def delete(call: Call) -> Document:
    call.permissions().require("delete", "environments")
    environment = _of_path(call)
    last = _last_position(call.store, environment["projectId"])
    _move(call.store, environment, last)
    if call.flag("hardDelete"):
        for table in ("secret_folders", "secret_imports", "secrets_v2", "secret_versions_v2"):
            call.store.delete_where(table, envId=environment["id"])
        call.store.delete("project_environments", environment["id"])
        return _answer("deleted", environment)
    kind = "deletedByIdentityId" if call.actor.kind == "identity" else "deletedByUserId"
    changed = call.store.update(
        "project_environments",
        environment["id"],
        position=last,
        softDeletedAt=timestamp(now()),
        deleteAfter=timestamp(now() + KEPT_FOR),
        **{kind: call.actor.id},
    )
    return _answer("deleted", changed)


@route("POST", PATH + "/{id}/restore")
def restore(call: Call) -> Document:
    call.permissions().require("edit", "environments")
    environment = _of_path(call)
    if not environment["softDeletedAt"]:
        raise bad_request("Environment is not deleted")
    position = _last_position(call.store, environment["projectId"]) + 1
    restored = call.store.update(
        "project_environments", environment["id"], position=position, **NOT_DELETED
    )
    return _answer("restored", restored)


def _of_path(call: Call) -> Document:
    environment = call.store.get("project_environments", call.path["id"])
    if environment is None or environment["projectId"] != call.path["project_id"]:
        raise not_found(f"Environment with ID '{call.path['id']}' not found")
    return environment


def _describe_conflict(holder: Document) -> str:
    if not holder["softDeletedAt"]:
        return "Environment with slug already exists"
    return (
        f"Environment slug '{holder['slug']}' is held by a pending-deletion environment. "
        "Permanently delete that environment first, then retry."
    )


def _last_position(store: Store, project_id: str) -> int:
    found = store.find("project_environments", projectId=project_id)
    return max((env["position"] for env in found), default=0)


def _move(store: Store, environment: Document, position: int) -> int:
    """Free a position, close the gap of the environment, and return the position."""
    project_id, old = environment["projectId"], environment["position"]
    if position > old:
        _shift(store, project_id, old + 1, position, -1)
    elif position < old:
        _shift(store, project_id, position, old - 1, 1)
    return position


def _shift(store: Store, project_id: str, first: int, last: int, by: int) -> None:
    for env in store.find("project_environments", projectId=project_id):
        if first <= env["position"] <= last:
            store.update("project_environments", env["id"], position=env["position"] + by)


def _answer(done: str, environment: Document) -> Document:
    message = f"Successfully {done} environment"
    project_id = environment["projectId"]
    return {"message": message, "projectId": project_id, "environment": environment}
