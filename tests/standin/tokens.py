"""JSON web tokens, HS256 only."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from .errors import ApiError, token_error

HEADER = {"alg": "HS256", "typ": "JWT"}
MALFORMED = (
    "The provided access token is malformed. "
    "Please use a valid token or generate a new one and try again."
)


def sign(claims: dict[str, Any], secret: str) -> str:
    """Return the signed token; `iat` is added, `exp` only if the claims have it."""
    parts = [_encode(HEADER), _encode({"iat": int(time.time()), **claims})]
    signature = _b64(_mac(".".join(parts), secret))
    return ".".join([*parts, signature])


def verify(token: str, secret: str) -> dict[str, Any]:
    """Return the claims; raise a 403 TokenError for a bad, foreign or expired token."""
    try:
        header, payload, signature = token.split(".")
        claims = json.loads(_unb64(payload))
        given = _unb64(signature)
        if json.loads(_unb64(header)).get("alg") != "HS256" or not isinstance(claims, dict):
            raise token_error(MALFORMED)
    except (ValueError, AttributeError):
        raise token_error(MALFORMED) from None
    if not hmac.compare_digest(given, _mac(f"{header}.{payload}", secret)):
        raise token_error("invalid signature")
    if "exp" in claims and time.time() >= claims["exp"]:
        raise token_error("Your token has expired. Please re-authenticate.")
    return claims


def bearer(header: str | None) -> str:
    """Return the token of an Authorization header; raise a 401 answer without one."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ApiError(401, "Token missing", "UnauthorizedError")
    return token.strip()


def _mac(text: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()


def _encode(part: dict[str, Any]) -> str:
    return _b64(json.dumps(part, separators=(",", ":")).encode())


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
