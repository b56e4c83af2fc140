"""Groups of a license, in the organization and in projects; here they give nobody access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..access import require_org_action
from ..errors import bad_request, not_found
from ..members import ROLE, join_project, shown_role
from ..validation import array, slug, text
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/groups"
IN_ORGANIZATION = "/api/v1/organizations/memberships/groups"
MEMBERSHIPS = "/api/v1/projects/{project_id}/memberships/groups"


@route("GET", IN_ORGANIZATION)
def list_of_organization(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "groups")
    there = call.store.find("groups", orgId=call.actor.org_id)
    found = [_show_in_organization(each) for each in there]
    limit, offset = int(call.query.get("limit", 100)), int(call.query.get("offset", 0))
    return {"groupMemberships": found[offset : offset + limit], "totalCount": len(found)}


@route("PATCH", IN_ORGANIZATION + "/{group_id}", PEOPLE)
def change_role(call: Call) -> Document:
    """Change the role in the organization; the caller must be a person, and needs no license."""
    [role] = call.fields({"roles": array(ROLE, 1)})["roles"]
    require_org_action(call.store, call.actor, "edit", "groups")
    changed = call.store.update("groups", _of_path(call)["id"], role=role["role"])
    return {"groupMembership": _show_in_organization(changed)}


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields({"name": text(1), "slug": slug(5), "role": text(1).optional("no-access")})
    require_org_action(call.store, call.actor, "create", "groups")
    _require_license(call, "create")
    return call.store.insert("groups", {"orgId": call.actor.org_id, **fields})


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


def _show_in_organization(group: Document) -> Document:
    return {
        **{key: group[key] for key in ("id", "createdAt", "updatedAt")},
        "groupId": group["id"],
        "roles": [{"role": group["role"], "customRoleSlug": None, "isTemporary": False}],
        "group": {key: group[key] for key in ("id", "name", "slug", "orgId")},
    }


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
