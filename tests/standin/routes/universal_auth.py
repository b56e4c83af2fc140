"""Settings of an identity's universal auth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..access import require_org_action
from ..errors import bad_request, not_found, something_went_wrong, validation_failure
from ..validation import Field, array, boolean, number, record, text
from ..web import Call, route
from .identities import find_identity, refuse_instance_admin

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/auth/universal-auth/identities/{identity_id}"
ANY_ADDRESS = [{"ipAddress": "0.0.0.0/0"}, {"ipAddress": "::/0"}]
LONGEST_TTL = 315_360_000
IPS = array(record({"ipAddress": text(1)}), 1)
SETTINGS: dict[str, tuple[Field, Any]] = {
    "accessTokenTTL": (number(0, LONGEST_TTL), 2592000),
    "accessTokenMaxTTL": (number(0, LONGEST_TTL), 2592000),
    "accessTokenNumUsesLimit": (number(0), 0),
    "accessTokenPeriod": (number(0, LONGEST_TTL), 0),
    "lockoutEnabled": (boolean(), True),
    "lockoutThreshold": (number(1, 30), 3),
    "lockoutDurationSeconds": (number(30, 86400), 300),
    "lockoutCounterResetSeconds": (number(5, 3600), 30),
    "clientSecretTrustedIps": (IPS, ANY_ADDRESS),
    "accessTokenTrustedIps": (IPS, ANY_ADDRESS),
}
ON_ATTACH = {name: field.optional(default) for name, (field, default) in SETTINGS.items()}
ON_CHANGE = {name: field.optional() for name, (field, _) in SETTINGS.items()}
SHOWN = ("id", "clientId", *SETTINGS, "createdAt", "updatedAt", "identityId")


def find_auth(call: Call) -> Document:
    """Return the universal auth of the identity in the path; raise a 404 answer."""
    identity_id = find_identity(call)["id"]
    auth = call.store.first("identity_universal_auths", identityId=identity_id)
    if auth is None:
        message = f"Failed to find universal auth for identity with ID {identity_id}"
        raise not_found(message)
    return auth


@route("POST", PATH)
def attach(call: Call) -> Document:
    settings = _check(call, ON_ATTACH)
    require_org_action(call.store, call.actor, "create", "identity")
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    if "universal-auth" in identity["authMethods"]:
        raise bad_request("Failed to add universal auth to already configured identity")
    methods = [*identity["authMethods"], "universal-auth"]
    call.store.update("identities", identity["id"], authMethods=methods)
    keys = {"identityId": identity["id"], "clientId": str(uuid4())}
    return _show(call.store.insert("identity_universal_auths", keys | settings))


@route("GET", PATH)
def read(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    return _show(find_auth(call))


@route("PATCH", PATH)
def change(call: Call) -> Document:
    settings = _check(call, ON_CHANGE)
    require_org_action(call.store, call.actor, "edit", "identity")
    auth = find_auth(call)
    if not settings:  # the real server's database refuses an update of nothing
        raise something_went_wrong("Update by id")
    # Like the real server, take the former longest lifetime for a lifetime that is not given.
    if ttl_too_long(auth | {"accessTokenTTL": auth["accessTokenMaxTTL"]} | settings):
        raise bad_request("Access token TTL cannot be greater than max TTL")
    return _show(call.store.update("identity_universal_auths", auth["id"], **settings))


@route("DELETE", PATH)
def revoke(call: Call) -> Document:
    require_org_action(call.store, call.actor, "delete", "identity")
    auth = find_auth(call)
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    methods = [method for method in identity["authMethods"] if method != "universal-auth"]
    call.store.update("identities", identity["id"], authMethods=methods)
    for table in ("identity_ua_client_secrets", "identity_access_tokens"):
        call.store.delete_where(table, identityId=identity["id"])
    call.store.delete("identity_universal_auths", auth["id"])
    return _show(auth)


@route("POST", PATH + "/clear-lockouts")
def clear_lockouts(call: Call) -> Document:
    require_org_action(call.store, call.actor, "edit", "identity")
    return {"deleted": call.server.lockouts.clear(find_auth(call)["identityId"])}


def _check(call: Call, fields: dict[str, Field]) -> Document:
    settings = call.fields(fields)
    both = {"accessTokenTTL", "accessTokenMaxTTL"} <= settings.keys()
    if both and ttl_too_long(settings):
        message = "Access Token TTL cannot be greater than Access Token Max TTL."
        raise validation_failure([{"code": "custom", "message": message, "path": []}])
    for name in ("clientSecretTrustedIps", "accessTokenTrustedIps"):
        if name in settings:
            settings[name] = parse_trusted(settings[name], "service token")
    return settings


def ttl_too_long(settings: Document) -> bool:
    """Return whether the lifetime of a token exceeds the greatest one."""
    longest: int = settings["accessTokenMaxTTL"]
    return bool(longest) and settings["accessTokenTTL"] > longest


def parse_trusted(entries: list[Document], what: str) -> list[Document]:
    """Return ranges of addresses as they are stored; raise a 400 answer for narrower ones."""
    known = {"0.0.0.0/0": "ipv4", "::/0": "ipv6"}
    if any(entry["ipAddress"] not in known for entry in entries):
        raise bad_request(
            f"Failed to add IP access range to {what} due to plan restriction. Upgrade plan to "
            "add IP access range."
        )
    return [
        {
            "type": known[entry["ipAddress"]],
            "prefix": 0,
            "ipAddress": entry["ipAddress"].removesuffix("/0"),
        }
        for entry in entries
    ]


def _show(auth: Document) -> Document:
    return {"identityUniversalAuth": {name: auth[name] for name in SHOWN}}
