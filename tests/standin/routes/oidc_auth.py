"""OIDC auth of identities: its settings, and the login with a token of an issuer."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from .. import platform_tokens
from ..access import require_org_action
from ..errors import bad_request, not_found, unauthorized_error, validation_failure
from ..issue import platform_token
from ..validation import Field, number, text
from ..web import ANYONE, Call, route
from .identities import find_identity, refuse_instance_admin
from .identity_login import note_login
from .universal_auth import ANY_ADDRESS, IPS, LONGEST_TTL, parse_trusted, ttl_too_long

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/auth/oidc-auth/identities/{identity_id}"
METHOD = "oidc-auth"
_TABLE = "identity_oidc_auths"


def _claims() -> Field:
    def check(value: Any, path: Any, issues: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            issues.append({"code": "invalid_type", "path": path, "message": "Expected object"})
            return value
        return {key: _spaced(each) for key, each in value.items()}

    return Field(check, expected="object")


def _spaced(value: str) -> str:
    return ", ".join(each.strip() for each in value.split(","))


_URL = text(1, rule=(lambda value: bool(re.match(r"[a-z]+://\S+$", value)), "Invalid url"))
_SETTINGS: dict[str, tuple[Field, Any]] = {
    "caCert": (text(), ""),
    "boundAudiences": (text(), ""),
    "claimMetadataMapping": (_claims(), None),
    "boundSubject": (text(trim=False), ""),
    "accessTokenTTL": (number(0, LONGEST_TTL), 2592000),
    "accessTokenMaxTTL": (number(0, LONGEST_TTL), 2592000),
    "accessTokenNumUsesLimit": (number(0), 0),
    "accessTokenTrustedIps": (IPS, ANY_ADDRESS),
}
_NEEDED = {"oidcDiscoveryUrl": _URL, "boundIssuer": text(1), "boundClaims": _claims()}
_ON_ATTACH = {
    **_NEEDED,
    **{name: each.optional(unset) for name, (each, unset) in _SETTINGS.items()},
}
_ON_CHANGE = {
    **{name: each.optional() for name, each in _NEEDED.items()},
    **{name: each.optional() for name, (each, _) in _SETTINGS.items()},
}
_SHOWN = ("id", *_ON_ATTACH, "createdAt", "updatedAt", "identityId")


@route("POST", PATH)
def attach(call: Call) -> Document:
    settings = _check(call, _ON_ATTACH)
    require_org_action(call.store, call.actor, "create", "identity")
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    if METHOD in identity["authMethods"]:
        raise bad_request("Failed to add OIDC Auth to already configured identity")
    _refuse_private(call, settings["oidcDiscoveryUrl"])
    methods = [*identity["authMethods"], METHOD]
    call.store.update("identities", identity["id"], authMethods=methods)
    return _show(call.store.insert(_TABLE, {"identityId": identity["id"], **settings}))


@route("GET", PATH)
def read(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    return _show(_find(call, "The identity does not have OIDC Auth attached"))


@route("PATCH", PATH)
def change(call: Call) -> Document:
    settings = _check(call, _ON_CHANGE)
    require_org_action(call.store, call.actor, "edit", "identity")
    auth = _find(call, "Failed to update OIDC Auth")
    if ttl_too_long(auth | {"accessTokenTTL": auth["accessTokenMaxTTL"]} | settings):
        raise bad_request("Access token TTL cannot be greater than max TTL")
    if "oidcDiscoveryUrl" in settings:
        _refuse_private(call, settings["oidcDiscoveryUrl"])
    return _show(call.store.update(_TABLE, auth["id"], **settings))


@route("DELETE", PATH)
def detach(call: Call) -> Document:
    require_org_action(call.store, call.actor, "delete", "identity")
    auth, identity = _find(call, "The identity does not have OIDC auth"), find_identity(call)
    methods = [each for each in identity["authMethods"] if each != METHOD]
    call.store.update("identities", identity["id"], authMethods=methods)
    call.store.delete_where("identity_access_tokens", identityId=identity["id"], authMethod=METHOD)
    call.store.delete(_TABLE, auth["id"])
    shown = _show(auth)
    del shown["identityOidcAuth"]["caCert"]
    return shown


@route("POST", "/api/v1/auth/oidc-auth/login", ANYONE)
def login(call: Call) -> Document:
    fields = call.fields({"identityId": text(), "jwt": text()})
    auth = call.store.first(_TABLE, identityId=fields["identityId"])
    if auth is None:
        raise not_found("OIDC auth method not found for identity, did you configure OIDC auth?")
    if call.store.get("identities", auth["identityId"]) is None:
        raise unauthorized_error("Identity not found")
    allowed = call.server.config.allows_private
    platform_tokens.refuse_claims(
        platform_tokens.verify(fields["jwt"], auth, allowed=allowed), auth
    )
    note_login(call.store, auth["identityId"], METHOD)
    end = int(time.time()) + auth["accessTokenTTL"]
    token = platform_token(call.store, auth, METHOD, end, call.server.config.auth_secret)
    return {
        "accessToken": token,
        "expiresIn": auth["accessTokenTTL"],
        "accessTokenMaxTTL": auth["accessTokenMaxTTL"],
        "tokenType": "Bearer",
    }


def _find(call: Call, missing: str) -> Document:
    auth = call.store.first(_TABLE, identityId=find_identity(call)["id"])
    if auth is None:
        raise bad_request(missing)
    return auth


def _check(call: Call, fields: dict[str, Field]) -> Document:
    settings = call.fields(fields)
    both = {"accessTokenTTL", "accessTokenMaxTTL"} <= settings.keys()
    if both and settings["accessTokenTTL"] > settings["accessTokenMaxTTL"]:
        message = "Access Token TTL cannot be greater than Access Token Max TTL."
        raise validation_failure([{"code": "custom", "message": message, "path": []}])
    if "boundAudiences" in settings:
        settings["boundAudiences"] = _spaced(settings["boundAudiences"])
    if "accessTokenTrustedIps" in settings:
        trusted = settings["accessTokenTrustedIps"]
        settings["accessTokenTrustedIps"] = parse_trusted(trusted, "access token")
    return settings


def _refuse_private(call: Call, url: str) -> None:
    platform_tokens.refuse_private(url, allowed=call.server.config.allows_private)


def _show(auth: Document) -> Document:
    return {"identityOidcAuth": {name: auth[name] for name in _SHOWN}}
