"""Service tokens of a project, made by people; on this server they read no secrets."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from ..crypto import hash_secret
from ..errors import not_found
from ..store import now, timestamp
from ..validation import anything, array, choice, record, text
from ..web import PEOPLE, Call, route

if TYPE_CHECKING:
    from ..store import Document

PATH = "/api/v2/service-token"
SCOPE = record({"environment": text(1), "secretPath": text(1)})


@route("POST", PATH, PEOPLE)
def create(call: Call) -> Document:
    fields = call.fields(
        {
            "name": text(),
            "workspaceId": text(1),
            "scopes": array(SCOPE, 1),
            "encryptedKey": text(),
            "iv": text(),
            "tag": text(),
            "expiresIn": anything().optional(None),
            "permissions": array(choice("read", "write")),
        }
    )
    call.permissions(fields["workspaceId"]).require("create", "service-tokens")
    seconds = fields["expiresIn"]
    secret = secrets.token_hex(16)
    token = call.store.insert(
        "service_tokens",
        {
            "name": fields["name"],
            "scopes": fields["scopes"],
            "permissions": fields["permissions"],
            "lastUsed": None,
            "expiresAt": timestamp(now() + timedelta(seconds=seconds)) if seconds else None,
            "createdBy": call.actor.id,
            "projectId": fields["workspaceId"],
            "expiryNotificationSent": False,
            "secretHash": hash_secret(secret),
        },
    )
    return {"serviceToken": f"st.{token['id']}.{secret}", "serviceTokenData": _show(token)}


@route("GET", "/api/v1/projects/{project_id}/service-token-data", PEOPLE)
def list_all(call: Call) -> Document:
    call.permissions().require("read", "service-tokens")
    found = call.store.find("service_tokens", projectId=call.path["project_id"])
    return {"serviceTokenData": [_show(token) for token in found]}


@route("DELETE", PATH + "/{id}", PEOPLE)
def delete(call: Call) -> Document:
    token = call.store.get("service_tokens", call.path["id"])
    if token is None:
        raise not_found(f"Service token with ID '{call.path['id']}' not found")
    call.permissions(token["projectId"]).require("delete", "service-tokens")
    call.store.delete("service_tokens", token["id"])
    return {"serviceTokenData": _show(token)}


def _show(token: Document) -> Document:
    return {name: value for name, value in token.items() if name != "secretHash"}
