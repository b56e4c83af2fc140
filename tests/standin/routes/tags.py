"""Tags of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import bad_request, not_found
from ..validation import slug, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/projects/{project_id}/tags"


@route("GET", PATH)
def list_all(call: Call) -> Document:
    call.permissions().require("read", "tags")
    return {"tags": call.store.find("secret_tags", projectId=call.path["project_id"])}


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields({"slug": slug(), "color": text()})
    call.permissions().require("create", "tags")
    owned = {"projectId": call.path["project_id"], "createdBy": call.actor.id}
    if call.store.first("secret_tags", projectId=owned["projectId"], slug=fields["slug"]):
        raise bad_request("Tag with slug already exists")
    kind = {"createdByActorType": call.actor.kind}
    return {"tag": call.store.insert("secret_tags", fields | owned | kind)}


@route("GET", PATH + "/{id}")
def read(call: Call) -> Document:
    call.permissions().require("read", "tags")
    return {"tag": _of_path(call)}


@route("PATCH", PATH + "/{id}")
def change(call: Call) -> Document:
    fields = call.fields({"slug": slug().optional(), "color": text().optional()})
    call.permissions().require("edit", "tags")
    return {"tag": call.store.update("secret_tags", _of_path(call)["id"], **fields)}


@route("DELETE", PATH + "/{id}")
def delete(call: Call) -> Document:
    call.permissions().require("delete", "tags")
    tag = _of_path(call)
    call.store.delete("secret_tags", tag["id"])
    return {"tag": tag}


def _of_path(call: Call) -> Document:
    tag = call.store.get("secret_tags", call.path["id"])
    if tag is None or tag["projectId"] != call.path["project_id"]:
        raise not_found(f"Tag with ID '{call.path['id']}' not found")
    return tag
