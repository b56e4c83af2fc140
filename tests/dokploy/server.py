"""Fake Dokploy's API for one service.

Request and answer shapes are those of its published API: a key in `x-api-key`, reads by GET with
the id in the query, changes by POST with JSON, and errors as `{"message", "code"}`.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY = "obviously-fake-key"
ID = "abc_123"
_SAVED = {
    "application": ("applicationId", "env", "buildArgs", "buildSecrets", "createEnvFile"),
    "compose": ("composeId", "env"),
}


@dataclass
class Dokploy:
    """The state of a fake of Dokploy's API; tests set it.

    Attributes:
        kind: `application` or `compose`.
        service: the fields of the service in answers.
        broken: the status of every answer instead; 0 for the proper ones.
        forgets: whether a save is answered with success without storing it.
    """

    kind: str = "application"
    service: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0
    forgets: bool = False
    url: str = ""

    def __post_init__(self) -> None:
        self.service = {
            f"{self.kind}Id": ID,
            "appName": "backend-x1y2z3",
            "env": None,
            "createEnvFile": True,
            **({"buildArgs": None, "buildSecrets": None} if self.kind == "application" else {}),
            **self.service,
        }

    @property
    def changes(self) -> list[str]:
        """The procedures that were posted to, in order."""
        return [path.rpartition(".")[2] for method, path in self.requests if method == "POST"]

    def answer(
        self, method: str, path: str, key: str | None, given: dict[str, Any]
    ) -> tuple[int, Any]:
        """Return the status and body of an answer."""
        self.requests.append((method, path))
        if self.broken:
            return self.broken, {"message": f"it holds {self.service['env']}", "code": "BROKEN"}
        if key != KEY:
            return 401, {"message": "Unauthorized", "code": "UNAUTHORIZED"}
        name = path.removeprefix(f"/api/{self.kind}.")
        if (method, name) not in {("GET", "one"), ("POST", "saveEnvironment"), ("POST", "deploy")}:
            return 404, {"message": "No procedure found", "code": "NOT_FOUND"}
        if given.get(f"{self.kind}Id") != ID:
            return 404, {"message": f"{self.kind.title()} not found", "code": "NOT_FOUND"}
        if name == "one":
            return 200, self.service
        if name == "deploy":
            return 200, None
        return self._save(given)

    def _save(self, given: dict[str, Any]) -> tuple[int, Any]:
        needed = _SAVED[self.kind]
        wrong = [
            each
            for each in needed
            if not isinstance(given.get(each), bool if each == "createEnvFile" else str)
        ]
        if wrong:
            issues = [{"code": "invalid_type", "path": [each]} for each in wrong]
            return 400, {"message": "Input validation failed", "code": "BAD_REQUEST"} | {
                "issues": issues
            }
        if not self.forgets:
            self.service |= {each: given[each] for each in needed}
        return 200, True


@contextmanager
def serving(dokploy: Dokploy) -> Iterator[Dokploy]:
    """Serve the API on a loopback port, at its `url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, given: dict[str, Any]) -> None:
            path, key = urlsplit(self.path).path, self.headers.get("x-api-key")
            status, body = dokploy.answer(self.command, path, key, given)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        dokploy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield dokploy
        server.shutdown()
        thread.join(timeout=10)
