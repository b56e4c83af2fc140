"""Fake an image registry on loopback, with configurable tags, digests, logins and failures.

`python3 fake_registry.py <port>` runs a registry on a host, by the standard library only. There the
first part of a repository's name chooses the answer: `status-429/infisical` gets that status,
`stalls/infisical` no answer, and `wrong/infisical` a manifest of another digest than the requested
one.
"""

import base64
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = {
    "mediaType": "application/vnd.docker.container.image.v1+json",
    "size": 2,
    "digest": f"sha256:{'c' * 64}",
}
MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "config": _CONFIG, "layers": []}
).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
# The names of errors in the bodies of registries' answers.
_CODES = {401: "UNAUTHORIZED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS"}
_STALLED_SECONDS = 1000


@dataclass
class FakeRegistry:
    """The registry's content and behaviour; a test changes them at any time.

    Attributes:
        port: the port on 127.0.0.1.
        tags: the tags by repository.
        page: the number of tags in an answer.
        status: the answer to every request instead, 0 for the proper one.
        stalls: whether no request gets an answer.
        asks_for_token: whether requests need a token, which any user gets.
        login: the user and password without which no token is given.
        realm: the address of the token service; empty for this server's own.
        next_page: the address of the following page, instead of the proper one.
        redirects_to: the server that each request is redirected to; empty for none.
        names_digest: whether answers have the header with the digest.
        has_manifests: whether the tags have manifests.
        body: the body of every answer instead, if it is not empty.
        requests: the method and path of each request, in order.
        logins: the users that asked for tokens, empty for nobody.
    """

    port: int = 0
    tags: dict[str, list[str]] = field(default_factory=dict)
    page: int = 1000
    status: int = 0
    stalls: bool = False
    asks_for_token: bool = False
    login: tuple[str, str] | None = None
    realm: str = ""
    next_page: str = ""
    redirects_to: str = ""
    names_digest: bool = True
    has_manifests: bool = True
    body: bytes = b""
    requests: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def fake_registry(**behaviour: object) -> Iterator[FakeRegistry]:
    """Yield a registry that runs until the end of the context."""
    registry = FakeRegistry(**behaviour)  # type: ignore[arg-type]
    with _serve(registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield registry
        finally:
            registry.released.set()
            server.shutdown()
            thread.join(10)


def _serve(registry: FakeRegistry) -> ThreadingHTTPServer:
    """Return a server for the registry on its port, or on any port if it has none yet."""
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", registry.port), handler)
    server.daemon_threads = True
    registry.port = server.server_address[1]
    return server


class _Handler(BaseHTTPRequestHandler):
    registry: FakeRegistry

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        registry, url = self.registry, urlsplit(self.path)
        registry.requests.append(f"{self.command} {self.path}")
        behaviour = url.path.removeprefix("/v2/").partition("/")[0]
        if registry.stalls or behaviour == "stalls":
            registry.released.wait(_STALLED_SECONDS)
            return
        status = registry.status
        if asked := re.fullmatch(r"status-(\d{3})", behaviour):
            status = int(asked[1])
        if registry.redirects_to:
            self._answer(307, b"", {"Location": f"{registry.redirects_to}{self.path}"})
        elif status:
            error = {"code": _CODES.get(status, "UNKNOWN"), "message": "as it was asked to"}
            basic = {"WWW-Authenticate": 'Basic realm="fake"'} if status == 401 else {}
            self._answer(status, json.dumps({"errors": [error]}).encode(), basic)
        elif url.path == "/v2/":
            self._answer(200, b"{}")
        elif url.path == "/token":
            self._give_token()
        elif registry.asks_for_token and self.headers.get("Authorization") != "Bearer fake-token":
            realm = registry.realm or f"http://{registry.host}/token"
            challenge = f'Bearer realm="{realm}",service="fake",scope="repository:asked:pull"'
            self._answer(401, b"{}", {"WWW-Authenticate": challenge})
        else:
            self._answer_api(url.path, parse_qs(url.query))

    def _give_token(self) -> None:
        registry, user, password = self.registry, "", ""
        if basic := self.headers.get("Authorization", "").removeprefix("Basic "):
            user, _, password = base64.b64decode(basic).decode().partition(":")
        registry.logins.append(user)
        if registry.login and (user, password) != registry.login:
            self._answer(401, b"{}")
        else:
            self._answer(200, b'{"token": "fake-token"}')

    def _answer_api(self, path: str, query: dict[str, list[str]]) -> None:
        repository, _, rest = path.removeprefix("/v2/").partition("/tags/list")
        if "/manifests/" in path:
            repository, _, tag = path.removeprefix("/v2/").partition("/manifests/")
            tags = self.registry.tags.get(repository, ()) if self.registry.has_manifests else ()
            is_there = tag in tags or repository.startswith("wrong/")
            headers = {"Content-Type": _MANIFEST_TYPE}
            headers |= {"Docker-Content-Digest": DIGEST} if self.registry.names_digest else {}
            self._answer(200 if is_there else 404, MANIFEST, headers)
            return
        if rest or repository not in self.registry.tags:
            self._answer(404, b"{}")
            return
        tags = self.registry.tags[repository]
        begin = tags.index(query["last"][0]) + 1 if "last" in query else 0
        page = tags[begin : begin + self.registry.page]
        is_last = begin + len(page) == len(tags)
        following = self.registry.next_page or f"/v2/{repository}/tags/list?last={page[-1]}"
        headers = {} if is_last else {"Link": f'<{following}>; rel="next"'}
        self._answer(200, json.dumps({"name": repository, "tags": page}).encode(), headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        body = self.registry.body or body
        self.send_response(status)
        always = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        docker = {"Docker-Distribution-Api-Version": "registry/2.0"}
        for name, value in {**always, **docker, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


if __name__ == "__main__":
    _serve(FakeRegistry(int(sys.argv[1]), names_digest=False)).serve_forever()
