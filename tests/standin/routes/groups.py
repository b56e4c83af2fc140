"""Groups of a license, in the organization and in projects; here they give nobody access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..access import require_org_action
from ..errors import bad_request, not_found
from ..members import ROLE, join_project, shown_role
from ..validation import array, slug, text
from ..web import Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/groups"
MEMBERSHIPS = "/api/v1/projects/{project_id}/memberships/groups"


@route("GET", PATH)
def list_all(call: Call) -> list[Document]:
    require_org_action(call.store, call.actor, "read", "groups")
    return call.store.find("groups", orgId=call.actor.org_id)


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields({"name": text(1), "slug": slug(5), "role": text(1).optional("no-access")})
    require_org_action(call.store, call.actor, "create", "groups")
    _require_license(call, "create")
    kept = {"orgId": call.actor.org_id, "roleId": None}
    return call.store.insert("groups", {**kept, **fields})


@route("PATCH", PATH + "/{group_id}")
def update(call: Call) -> Document:
    fields = call.fields({"name": text(1).optional(), "role": text(1).optional()})
    require_org_action(call.store, call.actor, "edit", "groups")
    _require_license(call, "update")
    return call.store.update("groups", _of_path(call)["id"], **fields)


@route("DELETE", PATH + "/{group_id}")
def delete(call: Call) -> Document:
    require_org_action(call.store, call.actor, "delete", "groups")
    _require_license(call, "delete")
    group = _of_path(call)
    call.store.delete_where("project_memberships", actorType="group", actorId=group["id"])
    call.store.delete("groups", group["id"])
    return group


@route("GET", MEMBERSHIPS)
def list_of_project(call: Call) -> Document:
    call.permissions().require("read", "groups")
    found = call.store.find(
        "project_memberships", projectId=call.path["project_id"], actorType="group"
    )
    return {"groupMemberships": [_show(call, each) for each in found]}


@route("POST", MEMBERSHIPS + "/{group_id}")
def add_to_project(call: Call) -> Document:
    """Add a group that exists, which needs no license."""
    roles = call.fields({"roles": array(ROLE, 1)})["roles"]
    call.permissions().require("create", "groups")
    group, project_id = _of_path(call), call.path["project_id"]
    if call.store.first("project_memberships", projectId=project_id, actorId=group["id"]):
        raise bad_request("Group is already a member of the project")
    member = join_project(call.store, project_id, "group", group["id"], roles)
    return {"groupMembership": _show(call, member)}


@route("DELETE", MEMBERSHIPS + "/{group_id}")
def remove_from_project(call: Call) -> Document:
    call.permissions().require("delete", "groups")
    key = {"projectId": call.path["project_id"], "actorId": call.path["group_id"]}
    member = call.store.first("project_memberships", **key)
    if member is None:
        raise not_found("Group is not a member of the project")
    call.store.delete("project_memberships", member["id"])
    return {"groupMembership": _show(call, member)}


def _require_license(call: Call, action: str) -> None:
    if not call.server.features["groups"]:
        raise bad_request(
            f"Failed to {action} group due to plan restriction. Upgrade plan to {action} group."
        )


def _of_path(call: Call) -> Document:
    group = call.store.get("groups", call.path["group_id"])
    if group is None or group["orgId"] != call.actor.org_id:
        raise not_found(f"Failed to find group with ID {call.path['group_id']}")
    return group


def _show(call: Call, member: Document) -> Document:
    group = call.store.get("groups", member["actorId"]) or {}
    return {
        **{key: member[key] for key in ("id", "createdAt", "updatedAt", "projectId")},
        "groupId": member["actorId"],
        "roles": [shown_role(role) for role in member["roles"]],
        "group": {key: group.get(key) for key in ("id", "name", "slug", "orgId")},
    }
