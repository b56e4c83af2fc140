"""Status, instance settings and the census of an instance's people and organizations."""

from __future__ import annotations

from typing import Any

from ..errors import bad_request, forbidden_error, not_found
from ..people import show, whole
from ..store import Document, now, timestamp
from ..validation import Field, anything, array, boolean, choice, text
from ..web import ANYONE, MEMBERS, Call, route

SHOWN = (
    "id",
    "initialized",
    "allowSignUp",
    "allowedSignUpDomain",
    "defaultAuthOrgId",
    "enabledLoginMethods",
    "authConsentContent",
    "pageFrameContent",
)
SHOWN_TO_ADMINS = (
    "instanceId",
    "trustSamlEmails",
    "trustLdapEmails",
    "trustOidcEmails",
    "adminIdentityIds",
    "fipsEnabled",
)
WITHOUT_DEFAULT_ORG = {
    "defaultAuthOrgSlug": None,
    "defaultAuthOrgAuthEnforced": None,
    "defaultAuthOrgAuthMethod": None,
}
LOGIN_METHODS = ("email", "google", "github", "gitlab", "saml", "ldap", "oidc")


def _login_methods() -> Field:
    listed = array(choice(*LOGIN_METHODS))

    def check(value: Any, path: list[str | int], issues: list[Document]) -> Any:
        if value == []:
            message = "At least one login method should be enabled."
            issues.append({"code": "custom", "message": message, "path": path})
        return listed.check(value, path, issues)

    return Field(check)


CHANGEABLE = {
    "allowSignUp": boolean().optional(),
    "allowedSignUpDomain": text().optional(),
    "trustSamlEmails": boolean().optional(),
    "trustLdapEmails": boolean().optional(),
    "trustOidcEmails": boolean().optional(),
    "defaultAuthOrgId": text().optional(),
    "enabledLoginMethods": _login_methods().optional(),
    "authConsentContent": text().optional(),
    "pageFrameContent": text().optional(),
}
# Fields that are accepted and never shown.
WITHHELD = dict.fromkeys(
    (
        "slackClientId",
        "slackClientSecret",
        "microsoftTeamsAppId",
        "microsoftTeamsClientSecret",
        "microsoftTeamsBotId",
        "gitHubAppConnectionClientId",
        "gitHubAppConnectionClientSecret",
        "gitHubAppConnectionSlug",
        "gitHubAppConnectionId",
        "gitHubAppConnectionPrivateKey",
        "envOverrides",
    ),
    anything().optional(),
)


@route("GET", "/api/status", ANYONE, transaction=False)
def status(call: Call) -> Document:
    # The real answer has settings, read from Redis, and once a minute from the database.
    settings = call.server.instance.settings()
    return {
        "date": timestamp(now()),
        "message": "Ok",
        "emailConfigured": call.server.mailer.is_on,
        "inviteOnlySignup": settings["allowSignUp"],
        "redisConfigured": True,
        "secretScanningConfigured": False,
        "auditLogStorageDisabled": False,
        "maxIdentityAccessTokenTTL": 7776000,
        "standin": True,
    }


@route("GET", "/api/v1/admin/config", ANYONE, transaction=False)
def read_config(call: Call) -> Document:
    settings = call.server.instance.settings()
    shown = {name: settings[name] for name in SHOWN} | {
        "isPublicSecretSharingDisabled": False,
        "licenseServerV2Enabled": False,
        "isCrossProjectSecretSharingEnabled": False,
    }
    return {"config": shown | WITHOUT_DEFAULT_ORG}


@route("PATCH", "/api/v1/admin/config", MEMBERS)
def change_config(call: Call) -> Document:
    _require_super_admin(call)
    fields = call.fields(CHANGEABLE | WITHHELD)
    if methods := fields.get("enabledLoginMethods"):
        user = call.store.get("users", call.actor.id)
        if user is None or set(methods).isdisjoint(whole(user)["authMethods"]):
            raise bad_request(
                "You must configure at least one auth method to prevent account lockout"
            )
    settings = call.server.instance.change(call.store, **fields)
    shown = {name: settings[name] for name in (*SHOWN, *SHOWN_TO_ADMINS)}
    return {"config": shown | WITHOUT_DEFAULT_ORG}


@route("GET", "/api/v1/admin/env-overrides")
def env_overrides(call: Call) -> Document:
    _require_super_admin(call)
    return {}


@route("GET", "/api/v1/admin/user-management/users")
def list_users(call: Call) -> Document:
    _require_super_admin(call)
    sought = call.query.get("searchTerm", "").lower()
    users = [each for each in call.store.find("users") if sought in each["username"].lower()]
    shown = [show(each) | {"superAdmin": each["superAdmin"]} for each in users]
    return {"users": _page(call, shown), "total": len(users)}


@route("DELETE", "/api/v1/admin/user-management/users/{user_id}")
def delete_user(call: Call) -> Document:
    """Delete an account with all that it had; an invitation then makes another."""
    _require_super_admin(call)
    user = call.store.get("users", call.path["user_id"])
    if user is None:
        raise not_found("User not found")
    call.store.delete("users", user["id"])
    for table in ("org_memberships", "project_memberships", "additional_privileges"):
        call.store.delete_where(table, actorId=user["id"])
    for table in ("totp_configs", "auth_tokens", "user_aliases"):
        call.store.delete_where(table, userId=user["id"])
    return {"users": show(user) | {"superAdmin": user["superAdmin"]}}


@route("GET", "/api/v1/admin/organization-management/organizations")
def list_organizations(call: Call) -> Document:
    _require_super_admin(call)
    organizations = call.store.find("organizations")
    shown = [
        each | {"projects": _projects(call, each["id"]), "members": _members(call, each["id"])}
        for each in _page(call, organizations)
    ]
    return {"organizations": shown, "total": len(organizations)}


@route("GET", "/api/v1/admin/identity-management/identities")
def list_identities(call: Call) -> Document:
    _require_super_admin(call)
    ruling = call.server.instance.settings()["adminIdentityIds"]
    identities = sorted(call.store.find("identities"), key=lambda each: each["name"])
    shown = [
        {"name": each["name"], "id": each["id"], "isInstanceAdmin": each["id"] in ruling}
        for each in _page(call, identities)
    ]
    return {"identities": shown, "total": len(identities)}


def _projects(call: Call, org_id: str) -> list[Document]:
    shown = ("name", "id", "slug", "createdAt")
    found = call.store.find("projects", orgId=org_id)
    return [{name: project[name] for name in shown} for project in found]


def _members(call: Call, org_id: str) -> list[Document]:
    members = call.store.find("org_memberships", orgId=org_id, actorType="user")
    shown = ("id", "email", "username", "firstName", "lastName")
    users = [call.store.get("users", member["actorId"]) or {} for member in members]
    return [
        {
            "user": {name: user[name] for name in shown},
            "membershipId": member["id"],
            "role": member["role"],
            "roleId": None,
            "status": member["status"],
        }
        for member, user in zip(members, users, strict=True)
    ]


def _page(call: Call, rows: list[Document]) -> list[Document]:
    offset, limit = int(call.query.get("offset", 0)), int(call.query.get("limit", 100))
    return rows[offset : offset + limit]


def _require_super_admin(call: Call) -> None:
    if not call.actor.super_admin:
        raise forbidden_error("Requires elevated super admin privileges")
