"""Codes of authenticator apps (RFC 6238: SHA-1, six digits, 30 seconds), and recovery codes."""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
import time
from urllib.parse import quote, urlencode

RECOVERY_CODES = 10
_PERIOD = 30
_SECRET_BYTES = 10


def new_secret() -> str:
    """Return a key of an app, 16 characters in base32."""
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def new_recovery_codes(count: int = RECOVERY_CODES) -> list[str]:
    return [str(secrets.randbelow(90_000_000) + 10_000_000) for _ in range(count)]


def address(username: str, secret: str) -> str:
    """Return what an app reads from a QR code."""
    options = {"period": 30, "digits": 6, "algorithm": "SHA1", "issuer": "Infisical"}
    return (
        f"otpauth://totp/Infisical:{quote(username, safe='')}"
        f"?{urlencode({'secret': secret, **options})}"
    )


def code_at(secret: str, seconds: float) -> str:
    """Return the code that an app shows at a time."""
    key = base64.b32decode(secret)
    digest = hmac.digest(key, struct.pack(">Q", int(seconds) // _PERIOD), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 15)
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"


def is_code(secret: str, code: str) -> bool:
    """Return whether a code is right now, or was or will be within 30 seconds."""
    now = time.time()
    return any(
        hmac.compare_digest(code_at(secret, now + shift).encode(), code.encode())
        for shift in (-_PERIOD, 0, _PERIOD)
    )
