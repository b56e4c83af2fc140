"""Machine identities in a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import bad_request, not_found
from ..members import ROLE, complete_roles, join_project, shown_role
from ..validation import array, boolean, text
from ..web import Call, route
from .identities import active_lockouts, create_identity, find_identity

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/projects/{project_id}/memberships/identities"
ROLES = {"role": text(1).optional("no-access"), "roles": array(ROLE).optional()}


@route("GET", PATH)
def list_all(call: Call) -> Document:
    call.permissions().require("read", "identity")
    found = call.store.find(
        "project_memberships", projectId=call.path["project_id"], actorType="identity"
    )
    offset, limit = int(call.query.get("offset", 0)), int(call.query.get("limit", 100))
    shown = []
    for member in found[offset : offset + limit]:
        identity = find_identity(call, member["actorId"], scoped=True)
        lockouts = {"activeLockoutAuthMethods": active_lockouts(call, identity)}
        document = _show(member, identity) | {"identityId": identity["id"]}
        document["identity"] |= lockouts
        shown.append(document)
    return {"identityMemberships": shown, "totalCount": len(found)}


@route("POST", PATH + "/{identity_id}")
def add(call: Call) -> Document:
    roles = _roles(call)
    call.permissions().require("create", "identity")
    identity = find_identity(call)
    project_id = call.path["project_id"]
    key = {"projectId": project_id, "actorId": identity["id"]}
    if call.store.first("project_memberships", **key):
        raise bad_request("Identity is already a member")
    member = join_project(call.store, project_id, "identity", identity["id"], roles)
    return {"identityMembership": _plain(member)}


@route("GET", PATH + "/{identity_id}")
def read(call: Call) -> Document:
    call.permissions().require("read", "identity")
    member, identity = _of_path(call), find_identity(call)
    document = _show(member, identity) | {"lastLoginAuthMethod": None, "lastLoginTime": None}
    document["identity"] |= {"metadata": identity["metadata"]}
    return {"identityMembership": document}


@route("PATCH", PATH + "/{identity_id}")
def change(call: Call) -> Document:
    roles = _roles(call)
    call.permissions().require("edit", "identity")
    changed = call.store.update(
        "project_memberships", _of_path(call)["id"], roles=complete_roles(roles)
    )
    return {"identityMembership": _plain(changed)}


@route("DELETE", PATH + "/{identity_id}")
def remove(call: Call) -> Document:
    call.permissions().require("delete", "identity")
    member = _of_path(call)
    if member["actorId"] == call.actor.id:
        raise bad_request("You can't delete your own membership")
    if find_identity(call, member["actorId"], scoped=True).get("projectId"):
        raise bad_request("Failed to delete project membership for a project scoped identity")
    key = {"projectId": member["projectId"], "actorId": member["actorId"]}
    call.store.delete_where("additional_privileges", **key)
    call.store.delete("project_memberships", member["id"])
    return {"identityMembership": _plain(member)}


OWN = "/api/v1/projects/{project_id}/identities"


@route("POST", OWN)
def create_own(call: Call) -> Document:
    """Make an identity that exists only in the project."""
    name = call.fields({"name": text(1), "hasDeleteProtection": boolean().optional(False)})["name"]
    call.permissions().require("create", "identity")
    project_id = call.path["project_id"]
    made = create_identity(call.store, call.actor.org_id or "", name, "no-access")
    made = call.store.update("identities", made["id"], projectId=project_id)
    join_project(call.store, project_id, "identity", made["id"], [{"role": "no-access"}])
    return {"identity": made}


@route("DELETE", OWN + "/{identity_id}")
def delete_own(call: Call) -> Document:
    call.permissions().require("delete", "identity")
    requested = call.path["identity_id"]
    found = call.store.get("identities", requested)
    if found is None or found.get("projectId") != call.path["project_id"]:
        raise not_found(f"Identity with id {requested} not found")
    for table in ("org_memberships", "project_memberships", "additional_privileges"):
        call.store.delete_where(table, actorId=found["id"])
    call.store.delete("identities", found["id"])
    return {"identity": found}


def _roles(call: Call) -> list[Document]:
    fields = call.fields(ROLES)
    roles: list[Document] = fields.get("roles") or [{"role": fields["role"]}]
    return roles


def _of_path(call: Call) -> Document:
    project_id, identity_id = call.path["project_id"], call.path["identity_id"]
    member = call.store.first("project_memberships", projectId=project_id, actorId=identity_id)
    if member is None:
        raise not_found(
            f"Identity with ID '{identity_id}' is no member of project with ID '{project_id}'"
        )
    return member


def _plain(member: Document) -> Document:
    own = {name: member[name] for name in ("id", "projectId", "createdAt", "updatedAt")}
    return own | {"identityId": member["actorId"]}


def _show(member: Document, identity: Document) -> Document:
    named = {name: identity[name] for name in ("name", "id", "orgId", "authMethods")}
    named["projectId"] = identity.get("projectId")
    return {
        "id": member["id"],
        "createdAt": member["createdAt"],
        "updatedAt": member["updatedAt"],
        "roles": [shown_role(role) for role in member["roles"]],
        "identity": named,
    }
