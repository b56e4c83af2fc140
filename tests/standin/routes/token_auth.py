"""Token auth of identities, whose tokens need no login, and their AWS auth."""

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
    identity = _add(call, METHOD, "Token Auth")
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
    identity = _remove(call, METHOD, "Token Auth")
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
    return _show_aws(_add(call, AWS, "AWS Auth"))


@route("DELETE", AWS_PATH)
def detach_aws(call: Call) -> Document:
    return _show_aws(_remove(call, AWS, "aws auth"))


def _show_aws(identity: Document) -> Document:
    return {"identityAwsAuth": {"identityId": identity["id"], "accessTokenTTL": A_MONTH}}


def _add(call: Call, method: str, name: str) -> Document:
    """Add a login method to the identity, which must not have it; return the identity."""
    identity = _changeable(call, "create")
    if method in identity["authMethods"]:
        raise bad_request(f"Failed to add {name} to already configured identity")
    call.store.update("identities", identity["id"], authMethods=[*identity["authMethods"], method])
    return identity


def _remove(call: Call, method: str, name: str) -> Document:
    """Remove a login method from the identity, which must have it; return the identity."""
    identity = _changeable(call, "delete")
    if method not in identity["authMethods"]:
        raise bad_request(f"The identity does not have {name}")
    methods = [each for each in identity["authMethods"] if each != method]
    call.store.update("identities", identity["id"], authMethods=methods)
    return identity


def _changeable(call: Call, action: str) -> Document:
    require_org_action(call.store, call.actor, action, "identity")
    identity = find_identity(call)
    refuse_instance_admin(call, identity["id"])
    return identity
