"""Additional privileges of identities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import not_found
from ..privileges import (
    ON_CREATE,
    change_privilege,
    create_privilege,
    find_privilege,
    shown_privilege,
)
from ..validation import text
from ..web import Call, route
from .projects import find_by_slug

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v2/identity-project-additional-privilege"
FORMER_PATH = "/api/v1/additional-privilege/identity"
MEMBER = {"identityId": text(1), "projectId": text(1)}


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields(MEMBER | ON_CREATE)
    call.permissions(fields["projectId"]).require("edit", "identity")
    member = _member(call, fields)
    return {"privilege": shown_privilege(create_privilege(call.store, member, fields))}


@route("GET", PATH)
def list_all(call: Call) -> Document:
    fields = call.parameters(MEMBER)
    call.permissions(fields["projectId"]).require("read", "identity")
    member = _member(call, fields)
    found = call.store.find(
        "additional_privileges", projectId=member["projectId"], actorId=member["actorId"]
    )
    return {"privileges": [shown_privilege(each, permissions=False) for each in found]}


@route("GET", FORMER_PATH)
def list_whole(call: Call) -> Document:
    """List privileges with their permissions, which the newer route leaves out."""
    fields = call.parameters({"identityId": text(1), "projectSlug": text(1)})
    project = find_by_slug(call, fields["projectSlug"])
    call.permissions(project["id"]).require("read", "identity")
    member = _member(call, {"projectId": project["id"], "identityId": fields["identityId"]})
    found = call.store.find(
        "additional_privileges", projectId=project["id"], actorId=member["actorId"]
    )
    return {"privileges": [shown_privilege(each) for each in found]}


@route("GET", PATH + "/{id}")
def read(call: Call) -> Document:
    return {"privilege": shown_privilege(_of_path(call, "read"))}


@route("GET", PATH + "/slug/{slug}")
def read_by_slug(call: Call) -> Document:
    fields = call.parameters({"identityId": text(1), "projectSlug": text(1)})
    project = find_by_slug(call, fields["projectSlug"])
    call.permissions(project["id"]).require("read", "identity")
    slug = call.path["slug"]
    privilege = call.store.first(
        "additional_privileges",
        projectId=project["id"],
        actorId=fields["identityId"],
        slug=slug,
    )
    if privilege is None:
        raise not_found(f"Additional privilege with slug '{slug}' not found")
    return {"privilege": shown_privilege(privilege)}


@route("PATCH", PATH + "/{id}")
def change(call: Call) -> Document:
    fields = call.fields(ON_CREATE | {"slug": text(1)})
    changed = change_privilege(call.store, _of_path(call, "edit"), fields)
    return {"privilege": shown_privilege(changed)}


@route("DELETE", PATH + "/{id}")
def delete(call: Call) -> Document:
    privilege = _of_path(call, "edit")
    call.store.delete("additional_privileges", privilege["id"])
    return {"privilege": shown_privilege(privilege)}


def _of_path(call: Call, action: str) -> Document:
    privilege = find_privilege(call.store, call.path["id"], "identity")
    call.permissions(privilege["projectId"]).require(action, "identity")
    return privilege


def _member(call: Call, fields: Document) -> Document:
    project_id, identity_id = fields["projectId"], fields["identityId"]
    member = call.store.first("project_memberships", projectId=project_id, actorId=identity_id)
    if member is None:
        raise not_found(
            f"Identity with ID '{identity_id}' is no member of project with ID '{project_id}'"
        )
    return member
