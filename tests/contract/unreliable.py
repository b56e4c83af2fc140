"""A reverse proxy on loopback that makes chosen requests fail, like a bad network."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Container

Kind = Literal["login", "read", "write"]
_LONGEST_HANG = 20.0


@dataclass(frozen=True)
class Fault:
    """A request that fails, and the kind of the failure.

    Attributes:
        how: a status to answer with, `hang` for no answer, `cut` for a connection closed
            before the answer, `cut short` for one closed in the middle of its body.
        kind: the kind of requests; a login is neither a read nor a write.
        at: the number of the request within its kind, from one.
        processed: whether the server receives and processes the request.
    """

    how: int | Literal["hang", "cut", "cut short"]
    kind: Kind
    at: Container[int] = (1,)
    processed: bool = False


class Seen(NamedTuple):
    """A request that the proxy received."""

    kind: Kind
    method: str
    path: str
    body: bytes


class UnreliableProxy:
    """Pass requests on to `upstream`, with at most one fault at a time.

    Attributes:
        seen: the requests since the last `expect`, in order.
        struck: those of them that failed.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = httpx.Client(base_url=upstream, timeout=20)
        self.released = threading.Event()
        self._lock = threading.Lock()
        self.expect(None)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self.upstream.close()

    def expect(self, fault: Fault | None) -> None:
        """Count from zero again, and use this fault from now on."""
        with self._lock:
            self._fault = fault
            self.seen: list[Seen] = []
            self.struck: list[Seen] = []

    def count(self, kind: Kind) -> int:
        """Return how many requests of a kind were seen."""
        return sum(each.kind == kind for each in self.seen)

    def note(self, method: str, path: str, body: bytes) -> Fault | None:
        """Count a request, and return its fault if it has one."""
        with self._lock:
            seen = Seen(_kind(method, path), method, path, body)
            self.seen.append(seen)
            fault = self._fault
            if fault is None or fault.kind != seen.kind or self.count(seen.kind) not in fault.at:
                return None
            self.struck.append(seen)
            return fault


def _kind(method: str, path: str) -> Kind:
    if path.endswith("/login"):
        return "login"
    return "read" if method == "GET" else "write"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: UnreliableProxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.proxy.note(self.command, self.path, body)
        with suppress(OSError):  # the client may have given up
            if fault is None:
                self._send(self._pass_on(body))
            else:
                self._fail(fault, body)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _pass_on(self, body: bytes) -> httpx.Response:
        passed = ("Authorization", "Content-Type")
        headers = {name: self.headers[name] for name in passed if name in self.headers}
        return self.server.proxy.upstream.request(
            self.command, self.path, content=body, headers=headers
        )

    def _send(self, answer: httpx.Response, length: int | None = None) -> None:
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/html"))
        if answer.status_code == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content[:length])

    def _fail(self, fault: Fault, body: bytes) -> None:
        answer = self._pass_on(body) if fault.processed else httpx.Response(200, content=b"{}")
        if isinstance(fault.how, int):
            self._send(httpx.Response(fault.how, content=b"<html>not from Infisical</html>"))
            return
        if fault.how == "hang":
            self.server.proxy.released.wait(_LONGEST_HANG)
        elif fault.how == "cut short":
            self._send(answer, len(answer.content) // 2)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
