"""People in a project."""

from __future__ import annotations

from random import sample
from typing import TYPE_CHECKING

from ..access import require_org_action
from ..errors import bad_request, not_found
from ..mail import link_mail
from ..members import ROLE, complete_roles, join_project, shown_role
from ..people import accepts_invitation, find_or_invite
from ..validation import array, email, text
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document, Store

PATH = "/api/v1/projects/{project_id}/memberships"
ADDRESSES = array(email()).optional([])


@route("GET", PATH)
def list_all(call: Call) -> Document:
    call.permissions().require("read", "member")
    found = call.store.find(
        "project_memberships", projectId=call.path["project_id"], actorType="user"
    )
    # The real server lists them in no particular order.
    shuffled = sample(found, len(found))
    return {"memberships": [_show(call.store, member) for member in shuffled]}


@route("POST", PATH)
def add(call: Call) -> Document:
    """Add people, and invite those without an account; members keep their roles.

    A person with an accepted membership of the organization gets a mail. If the mail server refuses
    the mail, the answer is a 500, but the person is in the project, as in the real server.
    """
    fields = call.fields(
        {
            "emails": ADDRESSES,
            "usernames": array(text(1)).optional([]),
            "roleSlugs": array(text(1), 1).optional(["member"]),
        }
    )
    call.permissions().require("create", "member")
    project_id, org_id = call.path["project_id"], call.actor.org_id or ""
    roles = [{"role": slug} for slug in fields["roleSlugs"]]
    by_link = accepts_invitation(call.server.instance.settings())
    added, informed = [], []
    for address in [*fields["emails"], *fields["usernames"]]:
        user = find_or_invite(call.store, org_id, address.lower(), by_link=by_link)
        key = {"projectId": project_id, "actorId": user["id"]}
        if call.store.first("project_memberships", **key) is None:
            member = join_project(call.store, project_id, "user", user["id"], roles)
            added.append(_plain(member))
            if call.store.find(
                "org_memberships", orgId=org_id, actorId=user["id"], status="accepted"
            ):
                informed.append(user["email"])
    _inform(call, project_id, informed)
    return {"memberships": added}


def _inform(call: Call, project_id: str, addresses: list[str]) -> None:
    if not addresses:
        return
    project = call.store.get("projects", project_id) or {"name": ""}
    link = f"{call.server.config.site_url}/login"
    body = link_mail(f"You've been invited to join {project['name']}", link, "Join now")
    mailer = call.server.mailer
    call.afterwards(lambda: mailer.send(", ".join(addresses), "Infisical project invitation", body))


@route("POST", "/api/v1/organization-admin/projects/{project_id}/grant-admin-access", PEOPLE)
def grant_admin_access(call: Call) -> Document:
    """Make an admin of the organization an admin of a project, member or not."""
    require_org_action(call.store, call.actor, "access-all-projects", "organization-admin-console")
    project_id = call.path["project_id"]
    project = call.store.get("projects", project_id)
    if project is None or project["orgId"] != call.actor.org_id:
        raise not_found(f"Project with ID '{project_id}' not found")
    roles = [{"role": "admin"}]
    member = call.store.first("project_memberships", projectId=project_id, actorId=call.actor.id)
    if member:
        call.store.update("project_memberships", member["id"], roles=complete_roles(roles))
    else:
        member = join_project(call.store, project_id, "user", call.actor.id, roles)
    return {"membership": _plain(member)}


@route("DELETE", PATH)
def remove_by_address(call: Call) -> Document:
    fields = call.fields({"emails": ADDRESSES, "usernames": array(text(1)).optional([])})
    call.permissions().require("delete", "member")
    removed = []
    for address in [*fields["emails"], *fields["usernames"]]:
        user = call.store.first("users", username=address.lower())
        member = user and call.store.first(
            "project_memberships", projectId=call.path["project_id"], actorId=user["id"]
        )
        if not member:
            raise bad_request("Some users are not part of project", "Delete project membership")
        removed.append(member)
    return {"memberships": [_remove(call.store, member) for member in removed]}


@route("GET", PATH + "/{membership_id}")
def read(call: Call) -> Document:
    call.permissions().require("read", "member")
    return {"membership": _show(call.store, _of_path(call))}


@route("PATCH", PATH + "/{membership_id}")
def change_roles(call: Call) -> Document:
    roles = call.fields({"roles": array(ROLE, 1)})["roles"]
    call.permissions().require("edit", "member")
    member = call.store.update(
        "project_memberships", _of_path(call)["id"], roles=complete_roles(roles)
    )
    own = {
        "projectMembershipId": member["id"],
        "customRoleId": None,
        "createdAt": member["createdAt"],
        "updatedAt": member["updatedAt"],
    }
    return {"roles": [role | own for role in member["roles"]]}


@route("DELETE", PATH + "/{membership_id}")
def remove(call: Call) -> Document:
    call.permissions().require("delete", "member")
    return {"membership": _remove(call.store, _of_path(call))}


def _of_path(call: Call) -> Document:
    member = call.store.get("project_memberships", call.path["membership_id"])
    if member is None or member["projectId"] != call.path["project_id"]:
        raise not_found(f"Project membership with ID '{call.path['membership_id']}' not found")
    return member


def _remove(store: Store, member: Document) -> Document:
    key = {"projectId": member["projectId"], "actorId": member["actorId"]}
    store.delete_where("additional_privileges", **key)
    store.delete("project_memberships", member["id"])
    return _plain(member)


def _plain(member: Document) -> Document:
    own = {name: member[name] for name in ("id", "createdAt", "updatedAt", "projectId")}
    return own | {"userId": member["actorId"]}


def _show(store: Store, member: Document) -> Document:
    user = store.get("users", member["actorId"]) or {}
    named = ("username", "email", "firstName", "lastName", "id")
    return {
        "id": member["id"],
        "createdAt": member["createdAt"],
        "userId": member["actorId"],
        "projectId": member["projectId"],
        "user": {name: user[name] for name in named},
        "roles": [shown_role(role) | {"customRoleId": None} for role in member["roles"]],
    }
