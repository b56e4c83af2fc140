"""Folders of an environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg import sql

from ..errors import bad_request, not_found
from ..folders import (
    below,
    clean_path,
    create_folder,
    find_environment,
    find_folder,
    join,
)
from ..validation import boolean, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document, Store

COLLATION = "en_US.utf8"
NAME = text(
    1,
    rule=(
        lambda name: bool(re.fullmatch(r"[A-Za-z0-9_-]+", name)),
        "Invalid folder name. Only alphanumeric characters, dashes, and underscores are allowed.",
    ),
)
PLACE = {"projectId": text(1), "environment": text(1), "path": text().optional("/")}
SHOWN = ("id", "name", "version", "createdAt", "updatedAt", "envId", "parentId")


@route("POST", "/api/v2/folders")
def create(call: Call) -> Document:
    fields = call.fields(PLACE | {"name": NAME, "description": text().optional(None)})
    project_id, path = fields["projectId"], clean_path(fields["path"])
    where = {"environment": fields["environment"], "secretPath": path}
    call.permissions(project_id).require("create", "secret-folders", where)
    environment = find_environment(call.store, project_id, fields["environment"])
    if environment is None:
        raise _missing(fields["environment"], path)
    if find_folder(call.store, project_id, fields["environment"], join(path, fields["name"])):
        raise bad_request(f"Folder with name '{fields['name']}' already exists in path '{path}'")
    parent = _make_parents(call.store, environment, path)
    folder = create_folder(call.store, parent, fields["name"], fields["description"])
    return {"folder": _show(folder) | {"path": folder["path"]}}


@route("GET", "/api/v2/folders")
def list_all(call: Call) -> Document:
    fields = call.parameters(PLACE)
    call.permissions(fields["projectId"])
    _require_collation(call.store)
    folder = _find(call.store, fields)
    prefix = folder["path"].rstrip("/")
    if not call.flag("recursive"):
        children = call.store.find("secret_folders", parentId=folder["id"])
        return {"folders": [_show(f) for f in sorted(children, key=lambda f: str(f["name"]))]}
    inside = below(call.store, folder)
    return {
        "folders": [_show(f) | {"relativePath": f["path"].removeprefix(prefix)} for f in inside]
    }


@route("GET", "/api/v2/folders/{id}")
def read(call: Call) -> Document:
    folder = call.store.get("secret_folders", call.path["id"])
    if folder is None:
        raise not_found(f"Folder with ID '{call.path['id']}' not found")
    call.permissions(folder["projectId"])
    return {"folder": _show(folder) | {"path": folder["path"]}}


@route("PATCH", "/api/v2/folders/{id}")
def change(call: Call) -> Document:
    fields = call.fields(PLACE | {"name": NAME, "description": text().optional()})
    where = {"environment": fields["environment"], "secretPath": clean_path(fields["path"])}
    call.permissions(fields["projectId"]).require("edit", "secret-folders", where)
    parent = _find(call.store, fields)
    folder = _child(call.store, parent, call.path["id"])
    same_name = call.store.first("secret_folders", parentId=parent["id"], name=fields["name"])
    if same_name and same_name["id"] != folder["id"]:
        raise bad_request("Folder with specified name already exists in path")
    new_path = join(parent["path"], fields["name"])
    for child in below(call.store, folder):
        moved = new_path + child["path"].removeprefix(folder["path"])
        call.store.update("secret_folders", child["id"], path=moved)
    described = {"description": fields["description"]} if "description" in fields else {}
    changed = call.store.update(
        "secret_folders", folder["id"], name=fields["name"], path=new_path, **described
    )
    return {"folder": _show(changed) | {"path": new_path}}


@route("DELETE", "/api/v2/folders/{id}")
def delete(call: Call) -> Document:
    fields = call.fields(PLACE | {"forceDelete": boolean().optional(False)})
    where = {"environment": fields["environment"], "secretPath": clean_path(fields["path"])}
    call.permissions(fields["projectId"]).require("delete", "secret-folders", where)
    parent = _find(call.store, fields)
    folder = _child(call.store, parent, call.path["id"])
    for gone in [folder, *below(call.store, folder)]:
        for table in ("secrets_v2", "secret_imports"):
            call.store.delete_where(table, folderId=gone["id"])
        call.store.delete("secret_folders", gone["id"])
    return {"folder": _show(folder)}


def _find(store: Store, fields: Document) -> Document:
    found = find_folder(store, fields["projectId"], fields["environment"], fields["path"])
    if found is None:
        raise _missing(fields["environment"], clean_path(fields["path"]))
    return found[1]


def _child(store: Store, parent: Document, name_or_id: str) -> Document:
    for key in ("id", "name"):
        for folder in store.find("secret_folders", parentId=parent["id"]):
            if folder[key] == name_or_id:
                return folder
    raise not_found(f"Folder '{name_or_id}' in path '{parent['path']}' not found")


def _make_parents(store: Store, environment: Document, path: str) -> Document:
    folder = store.find("secret_folders", envId=environment["id"], path="/")[0]
    for name in [part for part in path.split("/") if part]:
        existing = store.first("secret_folders", parentId=folder["id"], name=name)
        folder = existing or create_folder(store, folder, name)
    return folder


def _require_collation(store: Store) -> None:
    """Fail like the real server in a database without this locale."""
    statement = sql.SQL("SELECT 'a' < 'b' COLLATE {}").format(sql.Identifier(COLLATION))
    store.connection.execute(statement)


def _missing(environment: str, path: str) -> Exception:
    return not_found(
        f"Folder with path '{path}' in environment with slug '{environment}' not found"
    )


def _show(folder: Document) -> Document:
    return {name: folder[name] for name in SHOWN} | {
        "isReserved": False,
        "description": folder["description"],
        "lastSecretModified": folder["lastSecretModified"],
    }
