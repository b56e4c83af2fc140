"""Log an identity in, and renew or revoke its token."""

from __future__ import annotations

import time
from datetime import datetime

from .. import tokens
from ..crypto import secret_matches
from ..errors import unauthorized_error
from ..issue import identity_token, renewed_token
from ..store import Document, Store, now, timestamp
from ..validation import text
from ..web import ANYONE, Call, route

LOCKED = "This identity auth method is temporarily locked, please try again later"


@route("POST", "/api/v1/auth/universal-auth/login", ANYONE)
def login(call: Call) -> Document:
    fields = call.fields({"clientId": text(1), "clientSecret": text(1)})
    auth = call.store.first("identity_universal_auths", clientId=fields["clientId"])
    if auth is None:
        raise unauthorized_error()
    if call.server.lockouts.refuses(auth):
        raise unauthorized_error(LOCKED)
    secret = _matching(call.store, auth, fields["clientSecret"])
    if secret is None:
        call.server.lockouts.record_failure(auth)
        raise unauthorized_error()
    _use(call.store, secret)
    call.server.lockouts.forget_failures(auth)
    note_login(call.store, auth["identityId"], "universal-auth")
    token = identity_token(call.store, auth, secret["id"], call.server.config.auth_secret)
    return _answer(token, auth["accessTokenTTL"], auth["accessTokenMaxTTL"])


@route("POST", "/api/v1/auth/token/renew", ANYONE)
def renew(call: Call) -> Document:
    record = _given_token(call)
    token = renewed_token(record, call.server.config.auth_secret)
    return _answer(token, record["ttl"], record["maxTTL"])


@route("POST", "/api/v1/auth/token/revoke", ANYONE)
def revoke(call: Call) -> Document:
    call.store.delete("identity_access_tokens", _given_token(call)["id"])
    return {"message": "Successfully revoked access token"}


def _given_token(call: Call) -> Document:
    token = call.fields({"accessToken": text(1)})["accessToken"]
    claims = tokens.verify(token, call.server.config.auth_secret)
    record = call.store.get("identity_access_tokens", claims.get("identityAccessTokenId", ""))
    if record is None:
        raise unauthorized_error("Failed to authorize: token has been revoked")
    return record


def _matching(store: Store, auth: Document, given: str) -> Document | None:
    candidates = store.find(
        "identity_ua_client_secrets",
        identityUAId=auth["id"],
        clientSecretPrefix=given[:4],
        isClientSecretRevoked=False,
    )
    matches = (c for c in candidates if secret_matches(given, c["clientSecretHash"]))
    return next(matches, None)


def _use(store: Store, secret: Document) -> None:
    """Count the use; raise a 401 answer if the secret has expired or is used up."""
    born = datetime.fromisoformat(secret["createdAt"]).timestamp()
    if secret["clientSecretTTL"] and time.time() >= born + secret["clientSecretTTL"]:
        raise unauthorized_error("Access denied due to expired client secret")
    uses, limit = secret["clientSecretNumUses"], secret["clientSecretNumUsesLimit"]
    if limit and uses >= limit:
        raise unauthorized_error("Access denied due to client secret usage limit reached")
    store.update("identity_ua_client_secrets", secret["id"], clientSecretNumUses=uses + 1)


def note_login(store: Store, identity_id: str, method: str) -> None:
    """Record when an identity last logged in, and by which method."""
    for member in store.find("org_memberships", actorId=identity_id):
        store.update(
            "org_memberships",
            member["id"],
            lastLoginAuthMethod=method,
            lastLoginTime=timestamp(now()),
        )


def _answer(token: str, ttl: int, max_ttl: int) -> Document:
    return {
        "accessToken": token,
        "expiresIn": ttl,
        "accessTokenMaxTTL": max_ttl,
        "tokenType": "Bearer",
    }
