"""Status, instance settings and the census of an instance's people and organizations."""

from __future__ import annotations

from ..errors import forbidden_error
from ..store import Document, now, timestamp
from ..validation import anything, array, boolean, choice, text
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
CHANGEABLE = {
    "allowSignUp": boolean().optional(),
    "allowedSignUpDomain": text().optional(),
    "trustSamlEmails": boolean().optional(),
    "trustLdapEmails": boolean().optional(),
    "trustOidcEmails": boolean().optional(),
    "defaultAuthOrgId": text().optional(),
    "enabledLoginMethods": array(choice(*LOGIN_METHODS), 1).optional(),
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
    call.server.instance.settings()
    return {
        "date": timestamp(now()),
        "message": "Ok",
        "emailConfigured": False,
        "inviteOnlySignup": True,
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
    settings = call.server.instance.change(call.store, **call.fields(CHANGEABLE | WITHHELD))
    shown = {name: settings[name] for name in (*SHOWN, *SHOWN_TO_ADMINS)}
    return {"config": shown | WITHOUT_DEFAULT_ORG}


@route("GET", "/api/v1/admin/env-overrides")
def env_overrides(call: Call) -> Document:
    _require_super_admin(call)
    return {}


@route("GET", "/api/v1/admin/user-management/users")
def list_users(call: Call) -> Document:
    _require_super_admin(call)
    users = call.store.find("users")
    hidden = {"passwordHash"}
    shown = [{k: v for k, v in user.items() if k not in hidden} for user in users]
    return {"users": _page(call, shown), "total": len(users)}


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
