"""Google, GitHub and GitLab for tests: their documented OAuth endpoints on one loopback port.

    python -m tests.oauth_provider --port 9443 --client fake-id --secret fake-secret \
        --callback https://secrets.example.com/api/v1/sso/gitlab --account anna@example.com \
        --certificate cert.pem --key key.pem --log /tmp/oauth.log

It needs only Python 3.11, so a copy of this one file runs on a staging host. It listens once it
prints `ready`; without a certificate it speaks HTTP. All three answer under every host name.
GitLab's address is a setting of Infisical. Those of Google and GitHub are fixed, so a proxy
(tests/proxy.py) leads accounts.google.com, www.googleapis.com, github.com and api.github.com here,
and `extra_ca` is the authority of the certificate.

| | page | token | person |
|---|---|---|---|
| Google | `/o/oauth2/v2/auth` | `/oauth2/v4/token` | `/oauth2/v3/userinfo` |
| GitHub | `/login/oauth/authorize` | `/login/oauth/access_token` | `/user`, `/user/emails` |
| GitLab | `/oauth/authorize` | `/oauth/token` | `/api/v4/user` |

The page has a link for each account, which leads back to the callback with a code. Client,
callback, code, PKCE and client secret are checked; the errors are those of the three.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import secrets
import signal
import ssl
import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["google", "github", "gitlab"]
_PAGES: dict[str, Kind] = {
    "/o/oauth2/v2/auth": "google",
    "/login/oauth/authorize": "github",
    "/oauth/authorize": "gitlab",
}
_TOKENS: dict[str, Kind] = {
    "/oauth2/v4/token": "google",
    "/login/oauth/access_token": "github",
    "/oauth/token": "gitlab",
}
_PEOPLE: dict[str, Kind] = {
    "/oauth2/v3/userinfo": "google",
    "/user": "github",
    "/user/emails": "github",
    "/api/v4/user": "gitlab",
}
_WRONG_CALLBACK = {
    "google": "Error 400: redirect_uri_mismatch",
    "github": "The redirect_uri is not associated with this application.",
    "gitlab": "The redirect URI included is not valid.",
}


class ProviderAccount(NamedTuple):
    """A person with an account at all three."""

    email: str
    name: str = "Anna Example"
    is_verified: bool = True

    @property
    def id(self) -> int:
        """The number of the account, which stays when the address changes."""
        return int(hashlib.sha256(self.email.encode()).hexdigest()[:8], 16)


class Reply(NamedTuple):
    """An answer: a mapping or list is sent as JSON, a text as a page."""

    status: int
    body: Any = ""
    location: str = ""


class _Grant(NamedTuple):
    kind: Kind
    account: ProviderAccount
    callback: str
    challenge: str


@dataclass
class OAuthProvider:
    """A registered application with its accounts; tests may change them while it runs.

    Attributes:
        callbacks: the addresses that may be returned to.
        requests: a line `METHOD HOST/PATH STATUS` for each request.
        log: a file for these lines.
    """

    client: str = "fake-client-id"
    secret: str = "fake-client-secret"
    callbacks: list[str] = field(default_factory=list)
    accounts: list[ProviderAccount] = field(default_factory=list)
    port: int = 0
    host: str = "127.0.0.1"
    certificate: Path | None = None
    key: Path | None = None
    log: Path | None = None
    requests: list[str] = field(default_factory=list)
    _codes: dict[str, _Grant] = field(default_factory=dict)
    _tokens: dict[str, _Grant] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://localhost:{self.port}"

    def reply(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Reply:
        """Return the answer to a GET, or to a POST whose form is `query`."""
        if method == "GET" and path in _PAGES:
            return self._page(_PAGES[path], path, query)
        if method == "POST" and path in _TOKENS:
            return self._token(_TOKENS[path], query)
        if method == "GET" and path in _PEOPLE:
            return self._person(path, query, headers)
        return Reply(404, {"message": "Not Found"})

    def _page(self, kind: Kind, path: str, query: Mapping[str, str]) -> Reply:
        callback, state = query.get("redirect_uri", ""), query.get("state", "")
        if query.get("client_id") != self.client:
            return Reply(401, "Error 401: invalid_client")
        if callback not in self.callbacks:
            return Reply(400, _WRONG_CALLBACK[kind])
        if query.get("response_type") != "code" and kind != "github":
            return Reply(400, "Error 400: invalid_request")
        joint = "&" if "?" in callback else "?"
        if query.get("account") == "nobody":
            answer = urlencode({"error": "access_denied", "state": state})
            return Reply(302, location=f"{callback}{joint}{answer}")
        for account in self.accounts:
            if query.get("account") == account.email:
                code = secrets.token_urlsafe(16)
                challenge = query.get("code_challenge", "")
                self._codes[code] = _Grant(kind, account, callback, challenge)
                answer = urlencode({"code": code, "state": state})
                return Reply(302, location=f"{callback}{joint}{answer}")
        choices = [*(each.email for each in self.accounts), "nobody"]
        links = (
            f'<li><a href="{path}?{html.escape(urlencode({**query, "account": each}))}">'
            f"{html.escape(each)}</a></li>"
            for each in choices
        )
        return Reply(200, f"<!doctype html><title>{kind}</title><ul>{''.join(links)}</ul>")

    def _token(self, kind: Kind, form: Mapping[str, str]) -> Reply:
        if (form.get("client_id"), form.get("client_secret")) != (self.client, self.secret):
            # GitHub answers errors with the status of success.
            if kind == "github":
                return Reply(200, {"error": "incorrect_client_credentials"})
            return Reply(401, {"error": "invalid_client", "error_description": "Unauthorized"})
        grant = self._codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if (
            grant is None
            or grant.kind != kind
            or grant.callback != form.get("redirect_uri")
            or (grant.challenge and grant.challenge != proof)
        ):
            if kind == "github":
                return Reply(200, {"error": "bad_verification_code"})
            return Reply(400, {"error": "invalid_grant", "error_description": "Bad Request"})
        token = f"fake-token-{secrets.token_hex(8)}"
        self._tokens[token] = grant
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3599})

    def _person(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        token = headers.get("Authorization", "").rpartition(" ")[2] or query.get("access_token", "")
        grant = self._tokens.get(token)
        if grant is None or grant.kind != _PEOPLE[path]:
            return Reply(401, {"message": "Bad credentials"})
        email, name, is_verified = grant.account
        number, login = grant.account.id, email.partition("@")[0]
        if path == "/oauth2/v3/userinfo":
            given, _, family = name.partition(" ")
            person = {"sub": str(number), "name": name, "given_name": given, "family_name": family}
            return Reply(200, {**person, "email": email, "email_verified": is_verified})
        if path == "/user":
            return Reply(200, {"id": number, "login": login, "name": name, "email": None})
        if path == "/user/emails":
            address = {"email": email, "primary": True, "verified": is_verified}
            return Reply(200, [{**address, "visibility": "private"}])
        confirmed = "2026-01-01T00:00:00.000Z" if is_verified else None
        gitlab = {"id": number, "username": login, "name": name, "email": email}
        return Reply(200, {**gitlab, "state": "active", "confirmed_at": confirmed})

    def record(self, line: str) -> None:
        self.requests.append(line)
        if self.log:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{line}\n")

    def listen(self) -> ThreadingHTTPServer:
        """Return a listening server; raise OSError if the port is in use."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self._answer(dict(parse_qsl(self.rfile.read(length).decode())))

            def _answer(self, form: dict[str, str]) -> None:
                url = urlsplit(self.path)
                given = {**dict(parse_qsl(url.query)), **form}
                reply = provider.reply(self.command, url.path, given, dict(self.headers.items()))
                host = self.headers.get("Host", "")
                provider.record(f"{self.command} {host}{url.path} {reply.status}")
                is_page = isinstance(reply.body, str)
                content = (reply.body if is_page else json.dumps(reply.body)).encode()
                self.send_response(reply.status)
                kind = "text/html; charset=utf-8" if is_page else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                if reply.location:
                    self.send_header("Location", reply.location)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                connection.settimeout(10)
                if context is None:
                    return connection, address
                # The handshake is left to the connection's own thread.
                wrapped = context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
                return wrapped, address

            def handle_error(self, request: Any, client_address: Any) -> None:
                provider.record(f"failed connection: {type(sys.exception()).__name__}")

        context = None
        if provider.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(provider.certificate, provider.key)
        server = Server((provider.host, provider.port), Handler)
        provider.port = server.server_port
        return server


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="oauth_provider", description="OAuth for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--callback", dest="callbacks", action="append", required=True)
    parser.add_argument(
        "--account", dest="accounts", action="append", type=ProviderAccount, default=[]
    )
    parser.add_argument(
        "--unverified",
        dest="accounts",
        action="append",
        type=lambda email: ProviderAccount(email, is_verified=False),
    )
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--log", type=Path)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with OAuthProvider(**vars(parser.parse_args(arguments))).listen() as server:
            print("ready", flush=True)
            server.serve_forever()
    except OSError as error:
        print(f"oauth_provider: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
