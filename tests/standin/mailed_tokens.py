"""One-time tokens that are sent by mail: invitations, password resets, codes, unlocking."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from .store import now, timestamp

if TYPE_CHECKING:
    from .store import Store

Purpose = Literal["invitation", "password-reset", "verification", "mfa", "unlock"]
_LIFETIMES: dict[Purpose, timedelta] = {
    "invitation": timedelta(days=3),
    "password-reset": timedelta(days=1),
    "verification": timedelta(days=1),
    "mfa": timedelta(minutes=5),
    "unlock": timedelta(days=3),
}
_SIX_DIGITS = ("verification", "mfa")
_BYTES = {"password-reset": 32}


def create_token(store: Store, purpose: Purpose, user_id: str) -> str:
    """Return a new token; a former one of this person for this purpose is no longer valid."""
    if purpose in _SIX_DIGITS:
        token = str(secrets.randbelow(900_000) + 100_000)
    else:
        token = secrets.token_hex(_BYTES.get(purpose, 16))
    store.delete_where("auth_tokens", purpose=purpose, userId=user_id)
    end = timestamp(now() + _LIFETIMES[purpose])
    record = {"purpose": purpose, "userId": user_id, "hash": _hash(token), "expiresAt": end}
    store.insert("auth_tokens", record)
    return token


def use_token(store: Store, purpose: Purpose, user_id: str, token: str) -> bool:
    """Return whether a token is valid, and invalidate it."""
    match = {"purpose": purpose, "userId": user_id, "hash": _hash(token)}
    found = store.first("auth_tokens", **match)
    if found is None or now() >= datetime.fromisoformat(found["expiresAt"]):
        return False
    store.delete("auth_tokens", found["id"])
    return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
