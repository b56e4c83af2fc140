"""Issue tokens, and keep their records."""

from __future__ import annotations

import re
import secrets
import string
import time
from datetime import datetime
from typing import TYPE_CHECKING

from . import tokens
from .errors import unauthorized_error

if TYPE_CHECKING:
    from .store import Document, Store

PERSON_TOKEN_SECONDS = 10 * 24 * 3600


def person_token(user: Document, secret: str, org_id: str | None = None) -> str:
    """Return a token for a person, limited to the selected organization if there is one."""
    claims = {
        "authMethod": "email",
        "authTokenType": "accessToken",
        "userId": user["id"],
        "exp": int(time.time()) + PERSON_TOKEN_SECONDS,
    }
    return tokens.sign(claims | ({"organizationId": org_id} if org_id else {}), secret)


def identity_token(store: Store, auth: Document, client_secret_id: str, secret: str) -> str:
    """Return a token for an identity that has logged in with universal auth."""
    record = store.insert(
        "identity_access_tokens",
        {
            "identityId": auth["identityId"],
            "identityUAClientSecretId": client_secret_id,
            "ttl": auth["accessTokenPeriod"] or auth["accessTokenTTL"],
            "maxTTL": auth["accessTokenMaxTTL"],
            "numUses": 0,
            "numUsesLimit": auth["accessTokenNumUsesLimit"],
        },
    )
    return _sign(record, int(time.time()) + record["ttl"], secret)


def renewed_token(record: Document, secret: str) -> str:
    """Return a token with a later expiry; raise a 401 answer after its longest lifetime."""
    born = datetime.fromisoformat(record["createdAt"]).timestamp()
    end = int(time.time()) + record["ttl"]
    if record["maxTTL"]:
        end = min(end, int(born) + record["maxTTL"])
    if end <= time.time():
        raise unauthorized_error("Failed to renew access token: its max TTL has been reached")
    return _sign(record, end, secret)


def made_token(
    store: Store, identity_id: str, name: str | None, ttl: int, secret: str
) -> tuple[str, Document]:
    """Return a token of token auth, and its record."""
    record = store.insert(
        "identity_access_tokens",
        {
            "identityId": identity_id,
            "authMethod": "token-auth",
            "name": name,
            "ttl": ttl,
            "maxTTL": ttl,
            "numUses": 0,
            "numUsesLimit": 0,
        },
    )
    return _sign(record, int(time.time()) + ttl, secret), record


def bootstrap_token(store: Store, identity_id: str, secret: str) -> str:
    """Return the token of a bootstrap: it never expires, and this server refuses it."""
    record = store.insert(
        "identity_access_tokens",
        {"identityId": identity_id, "ttl": 0, "maxTTL": 0, "numUses": 0, "numUsesLimit": 0},
    )
    return _sign(record, None, secret)


def _sign(record: Document, end: int | None, secret: str) -> str:
    claims = {
        "authTokenType": "identityAccessToken",
        "identityId": record["identityId"],
        "identityAccessTokenId": record["id"],
    }
    return tokens.sign(claims | ({"exp": end} if end else {}), secret)


def new_slug(name: str) -> str:
    """Return the slug of a name with four random characters.

    The real server draws letters of both cases and then splits them as words: "zZsc" is "z-zsc".
    """
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30]
    suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(4))
    return f"{stem}-{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '-', suffix).lower()}"
