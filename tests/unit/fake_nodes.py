"""Fake nodes of a cluster: servers on loopback that store secrets as Infisical's API does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.nodes import Node


@dataclass
class Store:
    """The state that the nodes of one cluster share."""

    secrets: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    logins: int = 0


class FakeApiNode:
    """One node, whose failures are set by attributes while it runs.

    `down`: the node answers each request with 500, except for its health. `sick`: it answers
    requests for its health with 503. `forgetful`: it acknowledges writes and stores nothing.
    `lying`: it answers each read with another value.
    """

    def __init__(self, name: str, store: Store) -> None:
        self.store = store
        self.down = self.sick = self.forgetful = self.lying = False
        self.asked = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                self._respond(*fake.answer("GET", self.path, self.headers["Authorization"], {}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                token = self.headers["Authorization"]
                self._respond(*fake.answer("POST", self.path, token, body))

            def _respond(self, status: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.node = Node(name, f"http://127.0.0.1:{self._server.server_port}")
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(
        self, method: str, url: str, token: str | None, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        path = urlsplit(url).path
        if path == "/api/status":
            return (503 if self.sick else 200), {}
        self.asked += 1
        if self.down:
            return 500, {"message": "Something went wrong"}
        if path.endswith("/login"):
            return 200, {"accessToken": self._new_token()}
        if token not in self.store.tokens:
            return 401, {}
        if path.startswith("/api/v4/secrets"):
            return self._secrets(method, path.rpartition("/")[2], body)
        if path.endswith("/environments"):
            return 200, {}
        return 200, {"projects": [], "project": {"id": "a-project"}}

    def _new_token(self) -> str:
        self.store.logins += 1
        self.store.tokens.add(f"Bearer token-{self.store.logins}")
        return f"token-{self.store.logins}"

    def _secrets(self, method: str, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        kept = self.store.secrets
        if method == "POST":
            if not self.forgetful:
                kept[name] = body["secretValue"]
            return 200, {}
        if name == "secrets":
            found = [{"secretKey": key, "secretValue": value} for key, value in kept.items()]
            return 200, {"secrets": found}
        if name not in kept:
            return 404, {}
        return 200, {"secret": {"secretValue": "other" if self.lying else kept[name]}}


@contextmanager
def three_nodes() -> Iterator[list[FakeApiNode]]:
    """Yield three nodes of one cluster, and stop them when the context ends."""
    store = Store()
    fake = [FakeApiNode(f"node-{number}", store) for number in (1, 2, 3)]
    yield fake
    for each in fake:
        each.close()
