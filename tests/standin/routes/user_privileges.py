"""Additional privileges of people; only a person may read or change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import not_found
from ..privileges import (
    ON_CHANGE,
    ON_CREATE,
    change_privilege,
    create_privilege,
    find_privilege,
    shown_privilege,
)
from ..validation import text
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/user-project-additional-privilege"
MEMBER = {"projectMembershipId": text(1)}
NO_APPROVAL: Document = {
    "isLinkedToAccessApproval": False,
    "accessApprovalRequestId": None,
    "policyApproverUserIds": [],
}


@route("POST", PATH, PEOPLE)
def create(call: Call) -> Document:
    fields = call.fields(MEMBER | ON_CREATE)
    member = _member(call, fields, "edit")
    return {"privilege": _show(create_privilege(call.store, member, fields))}


@route("GET", PATH, PEOPLE)
def list_all(call: Call) -> Document:
    member = _member(call, call.parameters(MEMBER), "read")
    found = call.store.find(
        "additional_privileges", projectId=member["projectId"], actorId=member["actorId"]
    )
    return {"privileges": [_show(each, permissions=False) | NO_APPROVAL for each in found]}


@route("GET", PATH + "/{id}", PEOPLE)
def read(call: Call) -> Document:
    return {"privilege": _show(_of_path(call, "read"))}


@route("PATCH", PATH + "/{id}", PEOPLE)
def change(call: Call) -> Document:
    fields = call.fields(ON_CHANGE)
    return {"privilege": _show(change_privilege(call.store, _of_path(call, "edit"), fields))}


@route("DELETE", PATH + "/{id}", PEOPLE)
def delete(call: Call) -> Document:
    privilege = _of_path(call, "edit")
    call.store.delete("additional_privileges", privilege["id"])
    return {"privilege": _show(privilege)}


def _of_path(call: Call, action: str) -> Document:
    privilege = find_privilege(call.store, call.path["id"], "user")
    call.permissions(privilege["projectId"]).require(action, "member")
    return privilege


def _member(call: Call, fields: Document, action: str) -> Document:
    member = call.store.get("project_memberships", fields["projectMembershipId"])
    if member is None or member["actorType"] != "user":
        raise not_found(f"Project membership with ID '{fields['projectMembershipId']}' not found")
    call.permissions(member["projectId"]).require(action, "member")
    return member


def _show(privilege: Document, permissions: bool = True) -> Document:
    owner = {"userId": privilege["actorId"], "projectId": privilege["projectId"]}
    return shown_privilege(privilege, permissions) | owner
