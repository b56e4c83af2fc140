"""Verify tokens that an issuer signs, and compare their claims, as the real server does.

The messages are those of its libraries: jsonwebtoken, jwks-rsa and picomatch.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from base64 import urlsafe_b64decode
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from .errors import ApiError, bad_request, something_went_wrong, unauthorized_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .store import Document

# The real server waits for an issuer until the connection ends.
_PATIENCE = 300.0
_MOST_KEYS = 10
_HASHES: dict[str, Callable[[], HashAlgorithm]] = {"256": SHA256, "384": SHA384, "512": SHA512}
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class _BadToken(Exception):
    """A token that jsonwebtoken refuses; the text is its message."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def refuse_private(url: str, *, allowed: bool) -> None:
    """Raise a 400 answer for a private address, unless the server's settings allow them."""
    host = urlsplit(url).hostname or ""
    if host in ("localhost", "host.docker.internal"):
        raise bad_request("Local IPs not allowed as URL")
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        raise something_went_wrong() from None
    if not allowed and any(not ip_address(each).is_global for each in found):
        raise bad_request("Local IPs not allowed as URL")


def verify(token: str, auth: Document, *, allowed: bool) -> Document:
    """Return the claims of a token; raise a 401 answer for one that is refused.

    Args:
        auth: the identity's OIDC auth.
        allowed: whether private addresses are.
    """
    refuse_private(auth["oidcDiscoveryUrl"], allowed=allowed)
    place = f"{auth['oidcDiscoveryUrl']}/.well-known/openid-configuration"
    try:
        found = _fetch(place, auth["caCert"])
    except (OSError, ValueError) as error:
        raise unauthorized_error(
            "Access denied: Failed to fetch OIDC discovery document from "
            f"{auth['oidcDiscoveryUrl']}. {_explain(error)}"
        ) from None
    keys_at = found.get("jwks_uri") if isinstance(found, dict) else None
    if not keys_at:
        raise unauthorized_error(
            "Access denied: OIDC discovery document does not contain a jwks_uri. The identity "
            "provider may be misconfigured."
        )
    refuse_private(keys_at, allowed=allowed)
    if not _SHAPE.fullmatch(token):
        raise unauthorized_error("Invalid JWT")
    kid = _part(token, 0).get("kid")
    keys = _keys(keys_at, kid, auth["caCert"])
    if kid:
        try:
            return _verify(token, keys[kid], auth["boundIssuer"])
        except _BadToken as error:
            raise unauthorized_error(f"Access denied: {error}") from None
    if len(keys) > _MOST_KEYS:
        raise unauthorized_error(f"Access denied: OIDC provider has {len(keys)} signing keys.")
    reason = "Invalid token"
    for key in keys.values():
        try:
            return _verify(token, key, auth["boundIssuer"])
        except _BadToken as error:
            reason = str(error)
    raise unauthorized_error(
        "Access denied: Unable to verify JWT signature with any available signing key. " + reason
    )


def _fetch(url: str, authority: str) -> Any:
    context = ssl.create_default_context(cadata=authority or None)
    opener = build_opener(_NoRedirects, HTTPSHandler(context=context))
    with opener.open(url, timeout=_PATIENCE) as answer:
        return json.loads(answer.read())


def _explain(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"Request failed with status code {error.code}"
    reason = error.reason if isinstance(error, URLError) else error
    return "connect ECONNREFUSED" if isinstance(reason, ConnectionRefusedError) else str(reason)


def _keys(url: str, kid: str | None, authority: str) -> dict[str, Key]:
    try:
        listed = _fetch(url, authority)["keys"]
    except (OSError, ValueError, KeyError) as error:
        raise unauthorized_error(
            f"Access denied: Failed to retrieve signing key from OIDC provider: {_explain(error)}"
        ) from None
    keys = {each.get("kid", str(index)): _key(each) for index, each in enumerate(listed)}
    if kid and kid not in keys:
        raise unauthorized_error(
            f"Access denied: Unable to verify JWT signature. The signing key '{kid}' was not "
            "found in the OIDC provider's JWKS endpoint. This may indicate an invalid token or "
            "misconfigured OIDC provider."
        )
    return keys


def _key(listed: Document) -> Key:
    numbers = {
        name: int.from_bytes(_unb64(listed[name]), "big")
        for name in listed.keys() & {"n", "e", "x", "y"}
    }
    if listed["kty"] == "RSA":
        return rsa.RSAPublicNumbers(numbers["e"], numbers["n"]).public_key()
    curve = ec.SECP256R1()
    return ec.EllipticCurvePublicNumbers(numbers["x"], numbers["y"], curve).public_key()


def _verify(token: str, key: Key, issuer: str) -> Document:
    signed, _, signature = token.rpartition(".")
    algorithm, claims = str(_part(token, 0).get("alg")), _part(token, 1)
    if not signature:
        raise _BadToken("jwt signature is required")
    family = "RS" if isinstance(key, rsa.RSAPublicKey) else "ES"
    if algorithm[:2] != family or algorithm[2:] not in _HASHES:
        raise _BadToken("invalid algorithm")
    try:
        _check_signature(key, _unb64(signature), signed.encode(), _HASHES[algorithm[2:]]())
    except (InvalidSignature, ValueError):
        raise _BadToken("invalid signature") from None
    now = int(time.time())
    if claims.get("nbf", now) > now:
        raise _BadToken("jwt not active")
    if claims.get("exp", now + 1) <= now:
        raise _BadToken("jwt expired")
    if claims.get("iss") != issuer:
        raise _BadToken(f"jwt issuer invalid. expected: {issuer}")
    return claims


def _check_signature(key: Key, signature: bytes, signed: bytes, digest: Any) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, signed, padding.PKCS1v15(), digest)
        return
    half = len(signature) // 2
    numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    key.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(digest))


def _part(token: str, index: int) -> Document:
    try:
        found = json.loads(_unb64(token.split(".")[index]))
    except ValueError:
        raise unauthorized_error("Invalid JWT") from None
    return found if isinstance(found, dict) else {}


def _unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def refuse_claims(claims: Document, auth: Document) -> None:
    """Raise a 401 or 403 answer unless the claims match those of the identity's OIDC auth."""
    if subject := auth["boundSubject"]:
        _require_text(claims.get("sub"))
        if not _matches(claims["sub"], subject):
            raise ApiError(403, "Access denied: OIDC subject not allowed.", "ForbiddenError")
    if audiences := auth["boundAudiences"]:
        found = claims.get("aud")
        given = found if isinstance(found, list) else [found]
        for each in given:
            _require_text(each)
        if not any(_matches(each, policy) for policy in audiences.split(", ") for each in given):
            raise unauthorized_error("Access denied: OIDC audience not allowed.")
    for name, policy in auth["boundClaims"].items():
        value = _find(claims, name)
        if not value:
            raise unauthorized_error(f"Access denied: token has no {name} field")
        if not any(_matches(value, each) for each in policy.split(", ")):
            raise unauthorized_error("Access denied: OIDC claim not allowed.")


def _require_text(value: Any) -> None:
    if not isinstance(value, str):  # picomatch throws a TypeError then
        raise something_went_wrong("TypeError")


def _find(claims: Document, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(claims, dict) or part not in claims:
            return None
        claims = claims[part]
    return claims if isinstance(claims, str | int | bool) else None


def _matches(value: Any, policy: str) -> bool:
    if isinstance(value, bool):
        return value == (policy == "true")
    if isinstance(value, int):
        return str(value) == policy
    return value == policy or bool(_pattern(policy).fullmatch(value))


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    # picomatch's option `bash`: a star also matches slashes, but no leading dot.
    return re.compile("".join(_pieces(glob)), re.DOTALL)


def _pieces(glob: str) -> Iterator[str]:
    known = {"*": r"(?!\.).*", "?": "[^/]"}
    for piece in re.split(r"(\*+|\?)", glob):
        yield known.get(piece[:1], re.escape(piece))
