"""Imports of a folder from other folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import bad_request, not_found
from ..folders import clean_path, find_folder, imports_of
from ..validation import boolean, number, record, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document, Store

SOURCE = {"environment": text(1), "path": text(1)}
PLACE = {"projectId": text(1), "environment": text(1), "path": text().optional("/")}
NO_REPLICATION = {
    "isReplication": False,
    "isReplicationSuccess": None,
    "replicationStatus": None,
    "lastReplicated": None,
    "isReserved": False,
}


@route("POST", "/api/v2/secret-imports")
def create(call: Call) -> Document:
    fields = call.fields(
        PLACE | {"import": record(SOURCE), "isReplication": boolean().optional(False)}
    )
    folder = _place(call, fields, "create")
    if fields["isReplication"]:
        raise bad_request("Failed to create secret replication due to plan restriction.")
    source_path = clean_path(fields["import"]["path"])
    source = find_folder(
        call.store, fields["projectId"], fields["import"]["environment"], source_path
    )
    if source is None:
        raise not_found(f"Imported folder with path '{source_path}' not found")
    where = {"environment": source[0]["slug"], "secretPath": source_path}
    call.permissions(fields["projectId"]).require("describeSecret", "secrets", where)
    match = {"folderId": folder["id"], "importEnvId": source[0]["id"], "importPath": source_path}
    if call.store.first("secret_imports", **match):
        raise bad_request("Secret import already exists")
    position = len(call.store.find("secret_imports", folderId=folder["id"])) + 1
    kept = {"projectId": fields["projectId"], "envId": folder["envId"], "position": position}
    created = call.store.insert("secret_imports", match | kept)
    return {
        "message": "Successfully created secret import",
        "secretImport": _show(call.store, created),
    }


@route("GET", "/api/v2/secret-imports")
def list_all(call: Call) -> Document:
    fields = call.parameters(PLACE)
    folder = _place(call, fields, "read")
    project = call.store.get("projects", fields["projectId"]) or {}
    shown = []
    for entry in imports_of(call.store, folder):
        document = _show(call.store, entry)
        document["importEnv"]["projectId"] = project["id"]
        shown.append(document | {"sourceProjectName": project["name"]})
    return {"message": "Successfully fetched secret imports", "secretImports": shown}


@route("PATCH", "/api/v2/secret-imports/{id}")
def change(call: Call) -> Document:
    moved = {"environment": text(1).optional(), "path": text(1).optional()}
    position = {"position": number(1).optional()}
    fields = call.fields(PLACE | {"import": record(moved | position)})
    folder = _place(call, fields, "edit")
    entry = _of_path(call, folder)
    requested = fields["import"]
    if "position" in requested:
        _move(call.store, folder, entry, requested["position"])
    if "environment" in requested or "path" in requested:
        environment = call.store.get("project_environments", entry["importEnvId"]) or {}
        place = (requested.get("environment", environment["slug"]), requested.get("path", "/"))
        source = find_folder(call.store, fields["projectId"], *place)
        if source is None:
            raise not_found(f"Imported folder with path '{place[1]}' not found")
        call.store.update(
            "secret_imports",
            entry["id"],
            importEnvId=source[0]["id"],
            importPath=source[1]["path"],
        )
    changed = call.store.get("secret_imports", entry["id"]) or {}
    return {
        "message": "Successfully updated secret import",
        "secretImport": _show(call.store, changed),
    }


@route("DELETE", "/api/v2/secret-imports/{id}")
def delete(call: Call) -> Document:
    folder = _place(call, call.fields(PLACE), "delete")
    entry = _of_path(call, folder)
    call.store.delete("secret_imports", entry["id"])
    for number_, left in enumerate(imports_of(call.store, folder), start=1):
        call.store.update("secret_imports", left["id"], position=number_)
    return {
        "message": "Successfully deleted secret import",
        "secretImport": _show(call.store, entry),
    }


def _place(call: Call, fields: Document, action: str) -> Document:
    path = clean_path(fields["path"])
    where = {"environment": fields["environment"], "secretPath": path}
    call.permissions(fields["projectId"]).require(action, "secret-imports", where)
    found = find_folder(call.store, fields["projectId"], fields["environment"], path)
    if found is None:
        environment = fields["environment"]
        raise not_found(
            f"Folder with path '{path}' in environment with slug '{environment}' not found"
        )
    return found[1]


def _of_path(call: Call, folder: Document) -> Document:
    entry = call.store.get("secret_imports", call.path["id"])
    if entry is None or entry["folderId"] != folder["id"]:
        raise not_found(f"Secret import with ID '{call.path['id']}' not found")
    return entry


def _move(store: Store, folder: Document, entry: Document, position: int) -> None:
    order = [each for each in imports_of(store, folder) if each["id"] != entry["id"]]
    order.insert(position - 1, entry)
    for place, each in enumerate(order, start=1):
        store.update("secret_imports", each["id"], position=place)


def _show(store: Store, entry: Document) -> Document:
    environment = store.get("project_environments", entry["importEnvId"]) or {}
    shown = ("id", "importPath", "position", "createdAt", "updatedAt", "folderId")
    return {
        **{name: entry[name] for name in shown},
        "version": 1,
        **NO_REPLICATION,
        "importEnv": {name: environment[name] for name in ("name", "slug", "id")},
    }
