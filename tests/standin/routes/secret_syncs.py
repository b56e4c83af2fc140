"""Secret syncs, which send the secrets of a folder to other services; this server runs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import not_found
from ..folders import find_folder
from ..validation import anything, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/secret-syncs"


@route("GET", PATH)
def list_all(call: Call) -> Document:
    project_id = call.parameters({"projectId": text(1)})["projectId"]
    call.permissions(project_id).require("read", "secret-syncs")
    return {"secretSyncs": call.store.find("secret_syncs", projectId=project_id)}


@route("POST", PATH + "/{destination}")
def create(call: Call) -> Document:
    fields = call.fields(
        {
            "name": text(1),
            "projectId": text(1),
            "connectionId": text(1),
            "environment": text(1),
            "secretPath": text(1),
            "destinationConfig": anything(),
            "syncOptions": anything(),
        }
    )
    project_id = fields["projectId"]
    call.permissions(project_id).require("create", "secret-syncs")
    found = find_folder(call.store, project_id, fields["environment"], fields["secretPath"])
    if found is None:
        raise not_found(f'Could not find folder with path "{fields["secretPath"]}"')
    environment, folder = found
    kept = {key: fields[key] for key in ("name", "projectId", "destinationConfig", "syncOptions")}
    place = {
        "destination": call.path["destination"],
        "connection": {"id": fields["connectionId"], "name": "fake", "app": "fake"},
        "environment": {key: environment[key] for key in ("slug", "name", "id")},
        "folder": {"id": folder["id"], "path": fields["secretPath"]},
        "isAutoSyncEnabled": True,
    }
    return {"secretSync": call.store.insert("secret_syncs", kept | place)}


@route("DELETE", PATH + "/{destination}/{id}")
def delete(call: Call) -> Document:
    sync = call.store.get("secret_syncs", call.path["id"])
    if sync is None or sync["destination"] != call.path["destination"]:
        raise not_found(f'Could not find Secret Sync with ID "{call.path["id"]}"')
    call.permissions(sync["projectId"]).require("delete", "secret-syncs")
    call.store.delete("secret_syncs", sync["id"])
    return {"secretSync": sync}
