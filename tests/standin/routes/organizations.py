"""Organizations and their members."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from starlette.responses import Response

from ..access import require_org_action
from ..errors import bad_request, not_found
from ..people import add_member
from ..validation import anything, boolean, choice, number, slug, text
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document, Store

DEFAULTS: Document = {
    "customerId": None,
    "authEnforced": False,
    "googleSsoAuthEnforced": False,
    "scimEnabled": False,
    "kmsDefaultKeyId": None,
    "defaultMembershipRole": "member",
    "enforceMfa": False,
    "selectedMfaMethod": None,
    "allowSecretSharingOutsideOrganization": True,
    "shouldUseNewPrivilegeSystem": True,
    "privilegeUpgradeInitiatedByUsername": None,
    "privilegeUpgradeInitiatedAt": None,
    "bypassOrgAuthEnabled": False,
    "userTokenExpiration": None,
    "secretsProductEnabled": True,
    "pkiProductEnabled": True,
    "kmsProductEnabled": True,
    "sshProductEnabled": True,
    "scannerProductEnabled": True,
    "shareSecretsProductEnabled": True,
    "maxSharedSecretLifetime": 2592000,
    "maxSharedSecretViewLimit": None,
    "blockDuplicateSecretSyncDestinations": False,
    "allowCrossProjectSecretSharing": False,
    "rootOrgId": None,
    "parentOrgId": None,
    "secretShareBrandConfig": None,
}

_NAME = "Name can only contain alphanumeric characters, dashes, underscores, and spaces"


def _is_a_name(value: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9 _-]+", value))


CHANGEABLE = {
    "name": text(1, 64, rule=(_is_a_name, _NAME)).optional(),
    "slug": slug().optional(),
    "enforceMfa": boolean().optional(),
    "selectedMfaMethod": choice("email", "totp", "webauthn").optional(),
    "defaultMembershipRoleSlug": slug().optional(),
    "userTokenExpiration": text().optional(),
    "maxSharedSecretLifetime": number(300, 2592000).optional(),
    "maxSharedSecretViewLimit": number(1, 1000).optional(),
    **dict.fromkeys(
        (
            "allowSecretSharingOutsideOrganization",
            "bypassOrgAuthEnabled",
            "secretsProductEnabled",
            "pkiProductEnabled",
            "kmsProductEnabled",
            "sshProductEnabled",
            "scannerProductEnabled",
            "shareSecretsProductEnabled",
            "blockDuplicateSecretSyncDestinations",
            "allowCrossProjectSecretSharing",
        ),
        boolean().optional(),
    ),
}
# Fields that are refused without a license, whatever the value.
LICENSED = (
    "secretShareBrandConfig",
    "authEnforced",
    "scimEnabled",
    "googleSsoAuthEnforced",
)


def create_organization(store: Store, name: str, slug: str, owner_id: str) -> Document:
    organization = store.insert("organizations", DEFAULTS | {"name": name, "slug": slug})
    add_member(store, organization["id"], owner_id, "admin")
    # The real server makes this project with each organization, in the same transaction.
    certificates = {"name": "Certificate Manager", "type": "cert-manager"}
    store.insert(
        "projects",
        {
            **certificates,
            "slug": f"cert-manager-{secrets.token_hex(2)}",
            "orgId": organization["id"],
            "description": None,
            "hasDeleteProtection": False,
        },
    )
    return organization


@route("GET", "/api/v1/organization", PEOPLE, needs_org=False)
def list_own(call: Call) -> Document:
    return {"organizations": _list_own(call, status="accepted")}


def _list_own(call: Call, **membership_fields: str) -> list[Document]:
    found = []
    for membership in call.store.find(
        "org_memberships", actorId=call.actor.id, **membership_fields
    ):
        organization = call.store.get("organizations", membership["orgId"])
        joined = {"userRole": membership["role"], "userJoinedAt": membership["createdAt"]}
        found.append({**(organization or {}), "orgAuthMethod": "", **joined})
    return found


@route("GET", "/api/v1/organization/accessible-with-sub-orgs", PEOPLE, needs_org=False)
def list_accessible(call: Call) -> Document:
    """List the organizations of a person, with those that invited the person; none has a
    sub-organization.
    """
    shown = ("id", "name", "slug", "userJoinedAt")
    found = _list_own(call)
    every = [{name: each.get(name) for name in shown} | {"subOrganizations": []} for each in found]
    return {"organizations": every}


@route("PATCH", "/api/v1/organization/{org_id}", PEOPLE)
def change(call: Call) -> Document:
    fields = call.fields(CHANGEABLE | dict.fromkeys(LICENSED, anything().optional()))
    require_org_action(call.store, call.actor, "edit", "settings")
    _refuse_enforcement(call, fields)
    licensed = [each for each in LICENSED if each in fields]
    if licensed:
        raise bad_request(f"Failed to update {licensed[0]} due to plan restriction.")
    if role := fields.pop("defaultMembershipRoleSlug", None):
        fields["defaultMembershipRole"] = role
    organization = call.store.update("organizations", call.path["org_id"], **fields)
    return {"message": "Successfully updated organization", "organization": organization}


def _refuse_enforcement(call: Call, fields: Document) -> None:
    """Raise a 400 answer if second factors are to be enforced without a license or mail."""
    if "enforceMfa" not in fields:
        return
    if not call.server.features["enforceMfa"]:
        raise bad_request(
            "Failed to enforce user MFA due to plan restriction. "
            "Upgrade plan to enforce/un-enforce MFA."
        )
    if not call.server.mailer.is_on:
        raise bad_request("Failed to enforce user MFA due to missing instance SMTP configuration.")


@route("GET", "/api/v2/organizations/{org_id}/memberships")
def list_members(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "member")
    shown = ("id", "role", "status", "inviteEmail", "orgId", "roleId", "isActive")
    logins = ("lastLoginAuthMethod", "lastLoginTime")
    person = ("username", "email", "isEmailVerified", "firstName", "lastName", "id")
    users = []
    for member in call.store.find("org_memberships", orgId=call.path["org_id"], actorType="user"):
        user = call.store.get("users", member["actorId"]) or {}
        own = {name: member[name] for name in (*shown, *logins)}
        users.append(own | {"user": {name: user[name] for name in person} | {"publicKey": None}})
    return {"users": users}


@route("POST", "/api/v2/organizations", PEOPLE, needs_org=False)
def create(call: Call) -> Document:
    """Make another organization, which everybody with an account may do."""
    name = call.fields({"name": text(1)})["name"]
    slug = f"{re.sub('[^a-z0-9]+', '-', name.lower())}-{secrets.token_hex(2)}"
    return {"organization": create_organization(call.store, name, slug, call.actor.id)}


@route("PATCH", "/api/v2/organizations/{org_id}/memberships/{membership_id}")
def change_member(call: Call) -> Response | Document:
    """Change the role of a person; for a machine only answer as if the role had changed."""
    fields = call.fields({"role": text(1).optional(), "isActive": boolean().optional()})
    if call.actor.kind != "user":
        return Response(status_code=200)
    require_org_action(call.store, call.actor, "edit", "member")
    member = call.store.get("org_memberships", call.path["membership_id"])
    if member is None or member["orgId"] != call.path["org_id"]:
        requested = call.path["membership_id"]
        raise not_found(f"Organization membership with ID {requested} not found")
    changed = call.store.update("org_memberships", member["id"], **fields)
    own = {name: value for name, value in changed.items() if name not in ("actorType", "actorId")}
    return {"membership": own}


@route("DELETE", "/api/v2/organizations/{org_id}/memberships/{membership_id}")
def remove_member(call: Call) -> Response | Document:
    """Remove a person; for a machine only answer as if it had been removed."""
    if call.actor.kind != "user":
        return Response(status_code=200)
    require_org_action(call.store, call.actor, "delete", "member")
    member = call.store.get("org_memberships", call.path["membership_id"])
    if member is None or member["orgId"] != call.path["org_id"]:
        raise not_found("Organization membership not found")
    call.store.delete("org_memberships", member["id"])
    for project in call.store.find("projects", orgId=member["orgId"]):
        match = {"projectId": project["id"], "actorId": member["actorId"]}
        call.store.delete_where("project_memberships", **match)
        call.store.delete_where("additional_privileges", **match)
    own = {name: value for name, value in member.items() if name not in ("actorType", "actorId")}
    return {"membership": own}
