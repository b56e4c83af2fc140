"""An issuer of tokens for tests, as GitHub, GitLab and Kubernetes are: discovery, keys, signatures.

    with serving(TokenIssuer("127.0.0.1", pair)) as issuer:
        token = issuer.token(sub="repo:acme/api:environment:production")

With `/token` it also plays the address at which a GitHub workflow asks for its token.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from .certificates import KeyPair

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_BITS = 2048
_COORDINATE = 32
# The seconds after which a hanging issuer answers, unless `let_go` is called before.
_HANGS = 60.0


def new_rsa_key() -> rsa.RSAPrivateKey:
    """Return a key for RS256."""
    return rsa.generate_private_key(65537, _BITS)


def new_ec_key() -> ec.EllipticCurvePrivateKey:
    """Return a key for ES256."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class TokenIssuer:
    """An issuer on one address, under TLS with a certificate.

    Attributes:
        keys: the published keys by their ids; the last one signs.
        asked: the requested paths, with their queries.
        bearer: what a workflow must send to `/token`.
        claims: the claims of tokens from `/token`, besides the audience that it asks for.
        lasts: the seconds that a token is valid.
        authority: the authority that signs its certificate, in PEM.
    """

    address: str
    pair: KeyPair | None = None
    port: int = 0
    listens_on: str = ""
    keys: dict[str, PrivateKey] = field(default_factory=lambda: {"one": new_rsa_key()})
    asked: list[str] = field(default_factory=list)
    bearer: str = "not-a-real-request-token"
    claims: dict[str, Any] = field(default_factory=dict)
    lasts: int = 300
    authority: str = ""

    def __post_init__(self) -> None:
        self._lets_go = threading.Event()
        self._lets_go.set()

    @property
    def url(self) -> str:
        """Return the name of the issuer."""
        return f"http{'s' if self.pair else ''}://{self.address}:{self.port}"

    def listen(self) -> ThreadingHTTPServer:
        """Return the server, bound to a free port of the address."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer((self.listens_on or self.address, self.port), Handler)
        server.daemon_threads = True
        if self.pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.pair.certificate, self.pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_port
        return server

    def hang(self) -> None:
        """Accept requests from now on without answering them."""
        self._lets_go.clear()

    def let_go(self) -> None:
        """Answer again, also the requests that wait."""
        self._lets_go.set()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        self._lets_go.wait(_HANGS)
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
        body: Any = {"message": "not found"}
        status = 200
        if path == "/.well-known/openid-configuration":
            body = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        elif path == "/keys":
            body = {"keys": [_published(kid, key) for kid, key in self.keys.items()]}
        elif path == "/token" and request.headers.get("Authorization") == f"bearer {self.bearer}":
            body = {"count": 1, "value": self.token(aud=query["audience"][0], **self.claims)}
        else:
            status = 401 if path == "/token" else 404
        content = json.dumps(body).encode()
        try:
            request.send_response(status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)
        except OSError:  # the client has gone
            pass

    def rotate(self, key: PrivateKey, kid: str = "two") -> None:
        """Publish and sign with this key alone."""
        self.keys = {kid: key}

    def token(
        self,
        *,
        key: PrivateKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a signed token; `claims` override those of a valid one, None removes one.

        Args:
            key: signs instead of the issuer's last key.
            header: overrides fields of the token's header; None removes one.
        """
        kid, own = list(self.keys.items())[-1]
        signer = key or own
        algorithm = "RS256" if isinstance(signer, rsa.RSAPrivateKey) else "ES256"
        now = int(time.time())
        times = {"iat": now, "nbf": now - 5, "exp": now + self.lasts}
        parts = [
            {"alg": algorithm, "typ": "JWT", "kid": kid, **(header or {})},
            {"iss": self.url, "aud": "infisical", **times, **claims},
        ]
        text = ".".join(_b64(json.dumps(_present(each)).encode()) for each in parts)
        if (header or {}).get("alg") == "none":
            return f"{text}."
        return f"{text}.{_b64(_sign(signer, text.encode()))}"


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _sign(key: PrivateKey, text: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, padding.PKCS1v15(), SHA256())
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(SHA256())))
    return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")


def _published(kid: str, key: PrivateKey) -> dict[str, str]:
    shared = {"kid": kid, "use": "sig"}
    if isinstance(key, rsa.RSAPrivateKey):
        rsa_numbers = key.public_key().public_numbers()
        numbers = {"n": rsa_numbers.n, "e": rsa_numbers.e}
        named = {"kty": "RSA", "alg": "RS256"}
    else:
        ec_numbers = key.public_key().public_numbers()
        numbers = {"x": ec_numbers.x, "y": ec_numbers.y}
        named = {"kty": "EC", "crv": "P-256", "alg": "ES256"}
    return {**shared, **named, **{name: _number(each) for name, each in numbers.items()}}


def _number(value: int) -> str:
    length = max(1, (value.bit_length() + 7) // 8)
    return _b64(value.to_bytes(max(length, _COORDINATE) if length > 3 else length, "big"))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
