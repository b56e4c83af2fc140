"""Token auth of identities: tokens that are made once and need no login. And their AWS auth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..access import require_org_action
from ..errors import bad_request, not_found
from ..issue import made_token
from ..validation import text
from ..web import Call, route
from .identities import find_identity, refuse_instance_admin
from .universal_auth import ANY_ADDRESS

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/auth/token-auth/identities/{identity_id}"
METHOD = "token-auth"
A_MONTH = 2592000
AWS_PATH = "/api/v1/auth/aws-auth/identities/{identity_id}"
AWS = "aws-auth"


@route("POST", PATH)
def attach(call: Call) -> Document:
    identity = _changeable(call, "create")
    if METHOD in identity["authMethods"]:
        raise bad_request("Failed to add Token Auth to already configured identity")
    call.store.update("identities", identity["id"], authMethods=[*identity["authMethods"], METHOD])
    settings = {
        "accessTokenTTL": A_MONTH,
        "accessTokenMaxTTL": A_MONTH,
        "accessTokenNumUsesLimit": 0,
        "accessTokenPeriod": 0,
        "accessTokenTrustedIps": [
            {"type": kind, "prefix": 0, "ipAddress": each["ipAddress"].removesuffix("/0")}
            for kind, each in zip(("ipv4", "ipv6"), ANY_ADDRESS, strict=True)
        ],
    }
    made = call.store.insert("identity_token_auths", {"identityId": identity["id"], **settings})
    return {"identityTokenAuth": made}


@route("GET", PATH)
def read(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    found = call.store.first("identity_token_auths", identityId=find_identity(call)["id"])
    if found is None:
        raise not_found("Token Auth configuration not found for identity")
    return {"identityTokenAuth": found}


@route("DELETE", PATH)
def detach(call: Call) -> Document:
    identity = _changeable(call, "delete")
    if METHOD not in identity["authMethods"]:
        raise bad_request("The identity does not have Token Auth")
    methods = [each for each in identity["authMethods"] if each != METHOD]
    call.store.update("identities", identity["id"], authMethods=methods)
    found = call.store.first("identity_token_auths", identityId=identity["id"]) or {}
    call.store.delete_where("identity_token_auths", identityId=identity["id"])
    call.store.delete_where("identity_access_tokens", identityId=identity["id"], authMethod=METHOD)
    return {"identityTokenAuth": found}


@route("POST", PATH + "/tokens")
def make_token(call: Call) -> Document:
    fields = call.fields({"name": text().optional(None)})
    identity = _changeable(call, "create")
    if METHOD not in identity["authMethods"]:
        raise bad_request("The identity does not have Token Auth")
    token, data = made_token(
        call.store, identity["id"], fields["name"], A_MONTH, call.server.config.auth_secret
    )
    return {"accessToken": token, "tokenType": "Bearer", "tokenData": data}


@route("POST", AWS_PATH)
def attach_aws(call: Call) -> Document:
    identity = _changeable(call, "create")
    if AWS in identity["authMethods"]:
        raise bad_request("Failed to add AWS Auth to already configured identity")
    call.store.update("identities", identity["id"], authMethods=[*identity["authMethods"], AWS])
    return {"identityAwsAuth": {"identityId": identity["id"], "accessTokenTTL": A_MONTH}}


@route("DELETE", AWS_PATH)
def detach_aws(call: Call) -> Document:
    identity = _changeable(call, "delete")
    if AWS not in identity["authMethods"]:
        raise bad_request("The identity does not have aws auth")
    methods = [each for each in identity["authMethods"] if each != AWS]
    call.store.update("identities", identity["id"], authMethods=methods)
    return {"identityAwsAuth": {"identityId": identity["id"], "accessTokenTTL": A_MONTH}}


def _changeable(call: Call, action: str) -> Document:
    require_org_action(call.store, call.actor, action, "identity")
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    return identity
