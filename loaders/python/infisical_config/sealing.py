"""The text of a cache file: AES-256-GCM under a key derived from the client secret.

It opens only for the credential, server, project, environment and folders that it was sealed for,
and any change of it is detected.
"""

from __future__ import annotations

import base64
import json
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bootstrap import Bootstrap

_VERSION = 1
_INFO = b"infisical-config cache 1"


class Unreadable(Exception):
    """The text was not sealed for this place, or was changed."""


class Cached(NamedTuple):
    """The secrets of a text, and its age in seconds."""

    secrets: dict[str, str]
    age: float


def seal(secrets: Mapping[str, str], place: Bootstrap, *, saved: int, nonce: bytes) -> str:
    """Return the text of a file with these secrets; `saved` is in seconds of the epoch."""
    plain = json.dumps(dict(secrets)).encode()
    sealed = _cipher(place).encrypt(nonce, plain, _encode_place(place, saved))
    return json.dumps(
        {"version": _VERSION, "saved": saved, "nonce": _base64(nonce), "sealed": _base64(sealed)}
    )


def unseal(text: bytes, place: Bootstrap, *, now: float) -> Cached:
    """Return the secrets that `seal` sealed for this place before `now`; raises Unreadable."""
    try:
        parts = json.loads(text)
        saved = parts["saved"]
        if parts["version"] != _VERSION or type(saved) is not int or saved > now:
            raise Unreadable
        nonce, sealed = (base64.b64decode(parts[key], validate=True) for key in ("nonce", "sealed"))
        secrets: dict[str, str] = json.loads(
            _cipher(place).decrypt(nonce, sealed, _encode_place(place, saved))
        )
    except (ValueError, TypeError, KeyError, InvalidTag):
        raise Unreadable from None
    return Cached(secrets, now - saved)


def _cipher(place: Bootstrap) -> AESGCM:
    derivation = HKDF(SHA256(), 32, salt=place.client_id.encode(), info=_INFO)
    return AESGCM(derivation.derive(place.client_secret.encode()))


def _encode_place(place: Bootstrap, saved: int) -> bytes:
    words: tuple[Any, ...] = (
        _VERSION,
        saved,
        place.address,
        place.project,
        place.environment,
        place.folder,
        *chain.from_iterable(place.imports),
    )
    return "\n".join(map(str, words)).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
