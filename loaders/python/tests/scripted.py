"""A server on loopback with scripted answers, which counts its requests."""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

Kind = Literal["login", "list"]
Script = dict[str, Any]

LOGIN: Script = {
    "status": 200,
    "json": {
        "accessToken": "token-example",
        "expiresIn": 1800,
        "accessTokenMaxTTL": 86400,
        "tokenType": "Bearer",
    },
}


def refusal(status: int, message: object = "refused", error: str = "SomeError") -> Script:
    """Return a refusal of Infisical's own."""
    body = {"reqId": "r", "statusCode": status, "message": message, "error": error}
    return {"status": status, "json": body}


REFUSED = refusal(401, "Invalid credentials", "UnauthorizedError")
DOWN: Script = {"status": 503, "headers": {"retry-after": "600"}, "text": "down"}
GOOD: Script = {"status": 200, "json": {"date": "2026-12-01T00:00:00.000Z", "message": "Ok"}}
_LONGEST_STALL = 20.0

# The servers that loaders read from, by whether they have the newer API of secrets.
APIS = {"v4": True, "v3": False}
# What the SDK's models want to find around a secret, as the real server has it.
_OF_SECRETS = {
    **dict.fromkeys(("id", "_id", "workspace", "environment", "secretComment"), "text"),
    "version": 1,
    "type": "shared",
    "createdAt": "2026-01-01",
    "updatedAt": "2026-01-01",
}


class Client(NamedTuple):
    """The client that a loader uses, and the generation of the server's secrets API."""

    name: Literal["http", "sdk"]
    has_v4: bool


# The SDK reads by v3 only.
CLIENTS = {
    **{api: Client("http", has_v4) for api, has_v4 in APIS.items()},
    "sdk": Client("sdk", False),
}


def complete(script: Script) -> Script:
    """Return an answer with all that the real server puts around secrets."""
    answer = script.get("json")
    if not isinstance(answer, dict) or "secrets" not in answer:
        return script
    made = {**answer, "secrets": [{**_OF_SECRETS, **each} for each in answer["secrets"]]}
    groups = [
        {
            "secretPath": "/",
            "environment": "text",
            "folderId": "text",
            **group,
            "secrets": [{**_OF_SECRETS, **each} for each in group["secrets"]],
        }
        for group in answer.get("imports", [])
    ]
    return {**script, "json": {**made, "imports": groups}}


class Seen(NamedTuple):
    """A received request."""

    kind: Kind
    path: str
    headers: dict[str, str]
    body: bytes


def listing(**values: str) -> Script:
    """Return the answer that lists these secrets."""
    secrets = [
        {"secretKey": name, "secretValue": value, "secretValueHidden": False}
        for name, value in values.items()
    ]
    return {"status": 200, "json": {"secrets": secrets, "imports": []}}


def route_missing(seen: Seen) -> Script:
    """Return the answer to a request whose route the server does not have."""
    message = f"Route GET:{seen.path} not found"
    return {"status": 404, "json": {"message": message, "error": "Not Found", "statusCode": 404}}


class ScriptedServer:
    """Answers each kind of request with the next of its scripts; the last one is repeated.

    Attributes:
        scripts: the answers; a function gets the request first.
        seen: the requests so far, except for those in `unknown`.
        unknown: the paths of requests by the newer API of secrets, if the server lacks it.
    """

    def __init__(
        self,
        *,
        login: Sequence[Script] = (LOGIN,),
        listed: Sequence[Script | Callable[[Seen], Script]] = (),
        status: Script = GOOD,
        has_v4: bool = True,
        certificate: Path | None = None,
    ) -> None:
        self.scripts: dict[Kind, Any] = {"login": [*login], "list": [*listed]}
        self.seen: list[Seen] = []
        self.unknown: list[str] = []
        self._status = status
        self._has_v4 = has_v4
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.scripted = self
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self.address = f"https://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def count(self, kind: Kind) -> int:
        """Return how many requests of a kind came in."""
        return sum(each.kind == kind for each in self.seen)

    def next(self, seen: Seen) -> Script:
        """Record a request, and return its answer.

        Requests for the status are not recorded; if the server redirects, it redirects them too.
        """
        if seen.path == "/api/status":
            first = self.scripts["login"][0]
            is_redirect = not callable(first) and 300 <= first.get("status", 0) < 400
            return first if is_redirect else self._status
        with self._lock:
            if not self._has_v4 and seen.path.startswith("/api/v4/"):
                self.unknown.append(seen.path)
                return route_missing(seen)
            self.seen.append(seen)
            scripts = self.scripts[seen.kind]
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return script(seen) if callable(script) else script  # type: ignore[no-any-return]


class _Server(ThreadingHTTPServer):
    """A server whose failed handshakes are the client's own."""

    daemon_threads = True
    request_queue_size = 64
    scripted: ScriptedServer

    def handle_error(self, *_: object) -> None:
        """Print nothing."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind: Kind = "login" if self.command == "POST" else "list"
        headers = {name.lower(): value for name, value in self.headers.items()}
        script = self.server.scripted.next(Seen(kind, self.path, headers, body))
        with suppress(OSError):  # the client may have given up
            self._play(script)

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _play(self, script: Script) -> None:
        if script.get("reset"):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif script.get("cut"):
            self._head(script.get("status", 200), {}, 1000)
            self.wfile.write(b"{")
            self.close_connection = True
        elif script.get("stall") == "headers":
            self.server.scripted.released.wait(_LONGEST_STALL)
        elif script.get("stall") == "body":
            self._head(script.get("status", 200), {}, 1000)
            self.wfile.write(b"{")
            self.wfile.flush()
            self.server.scripted.released.wait(_LONGEST_STALL)
        elif "drip" in script:
            self._drip(script.get("json", listing(A="1")["json"]), script["drip"])
        else:
            self._answer(script)

    def _answer(self, script: Script) -> None:
        text = script["text"] if "text" in script else json.dumps(script["json"])
        body = text.encode()
        self._head(script["status"], script.get("headers", {}), len(body))
        self.wfile.write(body)
        self.wfile.flush()
        if script.get("hang_up"):  # although the answer did not say so
            self.close_connection = True

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(length))
        usual = {"content-type": "application/json", "date": self.date_time_string()}
        for name, value in {**usual, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def _drip(self, answer: Any, pause: float) -> None:
        body = json.dumps(answer).encode()
        self._head(200, {}, len(body))
        for byte in body:
            if self.server.scripted.released.wait(pause):
                return
            self.wfile.write(bytes([byte]))
            self.wfile.flush()


@contextmanager
def closing_server() -> Iterator[str]:
    """Yield the address of a server that closes each connection at once, and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def close_each() -> None:
            with suppress(OSError):
                while True:
                    listening.accept()[0].close()

        threading.Thread(target=close_each, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def eventually(condition: Callable[[], object], seconds: float = 5) -> bool:
    """Return whether a condition becomes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
