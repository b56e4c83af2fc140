"""Seal a text in a file, in a format that both languages share.

A keystream of HMAC-SHA256 in counter mode encrypts the text, and a tag of HMAC-SHA256 authenticates
all of it. Both keys are used for this text only. The standard library has no cipher, and a login
must not need another package.
"""

from __future__ import annotations

import hmac
import json
import os
from base64 import b64decode, b64encode

_VERSION = 1
_NONCE, _BLOCK = 16, 32
_INFO = b"infisical-config login 1"


def seal_text(text: str, key: bytes, context: str, nonce: bytes | None = None) -> str:
    """Return the text of a file.

    Args:
        key: 32 bytes.
        context: the owner of the text, such as an address; it opens only with the same one.
        nonce: never the same twice; random by default.
    """
    nonce = nonce or os.urandom(_NONCE)
    cipher, tag = _derive_keys(key, nonce)
    hidden = _mask(text.encode(), cipher)
    sealed = hidden + _tag(hidden, tag, context, nonce)
    parts = {"nonce": b64encode(nonce).decode(), "sealed": b64encode(sealed).decode()}
    return f"{json.dumps({'version': _VERSION, **parts})}\n"


def open_text(file: bytes, key: bytes, context: str) -> str | None:
    """Return the text that `seal_text` sealed; None for another key or context, or if altered."""
    try:
        parts = json.loads(file)
        if parts["version"] != _VERSION:
            return None
        nonce, sealed = (b64decode(parts[name], validate=True) for name in ("nonce", "sealed"))
        if len(nonce) != _NONCE or len(sealed) < _BLOCK:
            return None
        cipher, tag = _derive_keys(key, nonce)
        hidden = sealed[:-_BLOCK]
        if not hmac.compare_digest(sealed[-_BLOCK:], _tag(hidden, tag, context, nonce)):
            return None
        return _mask(hidden, cipher).decode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _derive_keys(key: bytes, nonce: bytes) -> tuple[bytes, bytes]:
    """Return the keys of the keystream and of the tag, by HKDF."""
    secret = hmac.digest(nonce, key, "sha256")
    first = hmac.digest(secret, _INFO + b"\x01", "sha256")
    return first, hmac.digest(secret, first + _INFO + b"\x02", "sha256")


def _tag(hidden: bytes, key: bytes, context: str, nonce: bytes) -> bytes:
    return hmac.digest(key, f"{_VERSION}\n{context}\n".encode() + nonce + hidden, "sha256")


def _mask(text: bytes, key: bytes) -> bytes:
    blocks = range((len(text) + _BLOCK - 1) // _BLOCK)
    stream = b"".join(hmac.digest(key, each.to_bytes(8, "big"), "sha256") for each in blocks)
    return bytes(a ^ b for a, b in zip(text, stream, strict=False))
