"""Client secrets of universal auth."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ..access import require_org_action
from ..crypto import hash_secret
from ..errors import not_found
from ..validation import number, text
from ..web import Call, route
from .universal_auth import LONGEST_TTL, find_auth

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v1/auth/universal-auth/identities/{identity_id}/client-secrets"
SHOWN = (
    "id",
    "createdAt",
    "updatedAt",
    "description",
    "clientSecretPrefix",
    "clientSecretNumUses",
    "clientSecretNumUsesLimit",
    "clientSecretTTL",
    "identityUAId",
    "isClientSecretRevoked",
)


@route("POST", PATH)
def create(call: Call) -> Document:
    fields = call.fields(
        {
            "description": text().optional(""),
            "numUsesLimit": number(0).optional(0),
            "ttl": number(0, LONGEST_TTL).optional(0),
        }
    )
    require_org_action(call.store, call.actor, "create", "identity")
    auth = find_auth(call)
    secret = secrets.token_hex(32)
    record = call.store.insert(
        "identity_ua_client_secrets",
        {
            "identityId": auth["identityId"],
            "identityUAId": auth["id"],
            "description": fields["description"],
            "clientSecretPrefix": secret[:4],
            "clientSecretHash": hash_secret(secret),
            "clientSecretNumUses": 0,
            "clientSecretNumUsesLimit": fields["numUsesLimit"],
            "clientSecretTTL": fields["ttl"],
            "isClientSecretRevoked": False,
        },
    )
    return {"clientSecret": secret, "clientSecretData": _show(record)}


@route("GET", PATH)
def list_all(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    auth = find_auth(call)
    found = call.store.find(
        "identity_ua_client_secrets", identityUAId=auth["id"], isClientSecretRevoked=False
    )
    return {"clientSecretData": [_show(record) for record in found]}


@route("GET", PATH + "/{client_secret_id}")
def read(call: Call) -> Document:
    require_org_action(call.store, call.actor, "read", "identity")
    return {"clientSecretData": _show(_find(call))}


@route("POST", PATH + "/{client_secret_id}/revoke")
def revoke(call: Call) -> Document:
    """Refuse the secret and its tokens from now on."""
    require_org_action(call.store, call.actor, "edit", "identity")
    secret_id = _find(call)["id"]
    call.store.delete_where("identity_access_tokens", identityUAClientSecretId=secret_id)
    revoked = call.store.update("identity_ua_client_secrets", secret_id, isClientSecretRevoked=True)
    return {"clientSecretData": _show(revoked)}


def _find(call: Call) -> Document:
    auth = find_auth(call)
    secret_id = call.path["client_secret_id"]
    record = call.store.get("identity_ua_client_secrets", secret_id)
    if record is None or record["identityUAId"] != auth["id"]:
        raise not_found(f"Client secret with ID '{secret_id}' not found")
    return record


def _show(record: Document) -> Document:
    return {name: record[name] for name in SHOWN}
