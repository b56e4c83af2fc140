"""Issue tokens, and keep their records."""

from __future__ import annotations

import re
import secrets
import string
import time
from datetime import datetime
from typing import TYPE_CHECKING

from . import tokens
from .errors import something_went_wrong, unauthorized_error
from .people import whole

if TYPE_CHECKING:
    from .config import Config
    from .store import Document, Store

_SIGNUP_SECONDS = 15 * 60
_MFA_SECONDS = 5 * 60
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}


def person_token(
    user: Document,
    config: Config,
    org_id: str | None = None,
    *,
    lifetime: str = "",
    **claims: object,
) -> str:
    """Return a token for a person, limited to the selected organization if there is one.

    Raises a 500 answer if JWT_AUTH_LIFETIME is no duration: nothing checks it at the start.
    """
    own = {
        "authMethod": "email",
        "authTokenType": "accessToken",
        "userId": user["id"],
        "accessVersion": whole(user)["sessionVersion"],
        "exp": int(time.time()) + _seconds(lifetime or config.person_token_lifetime),
    }
    selected = {"organizationId": org_id} if org_id else {}
    return tokens.sign({**own, **claims, **selected}, config.auth_secret)


def signup_token(user: Document, secret: str, **claims: object) -> str:
    """Return a token with which a person completes an account."""
    end = int(time.time()) + _SIGNUP_SECONDS
    own = {"authTokenType": "signupToken", "userId": user["id"], "exp": end}
    return tokens.sign({**own, **claims}, secret)


def recovery_token(user: Document, secret: str) -> str:
    """Return a token with which a person sets a new password, once."""
    return signup_token(
        user,
        secret,
        authTokenType="accountRecoveryToken",
        version=whole(user)["sessionVersion"],
    )


def mfa_token(user: Document, secret: str, org_id: str, method: str, auth_method: str) -> str:
    """Return a token with which a person answers for a second factor, within five minutes."""
    claims = {"organizationId": org_id, "requiredMfaMethod": method, "authMethod": auth_method}
    end = int(time.time()) + _MFA_SECONDS
    return signup_token(user, secret, authTokenType="mfaToken", exp=end, **claims)


def _seconds(lifetime: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdwy])", lifetime.strip())
    if match is None:
        raise something_went_wrong()
    return int(float(match[1]) * _UNITS[match[2]])


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


def platform_token(store: Store, auth: Document, method: str, end: int, secret: str) -> str:
    """Return a token for an identity that has logged in with a token of its platform."""
    record = store.insert(
        "identity_access_tokens",
        {
            "identityId": auth["identityId"],
            "authMethod": method,
            "ttl": auth["accessTokenTTL"],
            "maxTTL": auth["accessTokenMaxTTL"],
            "numUses": 0,
            "numUsesLimit": auth["accessTokenNumUsesLimit"],
        },
    )
    return _sign(record, end, secret)


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
