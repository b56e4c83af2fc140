"""A server in place of Infisical behind a proxy, which records its requests."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The size of an answer, larger than Caddy's buffer.
SIZE = 200_000
STATUS, LOGIN = "/api/status", "/api/v1/auth/universal-auth/login"
READ, WRITE = "/api/v3/secrets/raw?environment=production", "/api/v4/secrets/KEY"


class Upstream:
    """A server in place of Infisical that records its requests, with raw targets.

    It answers `/slow` in two halves, the second once `release` is set, and bodies of more than
    1 MiB as Infisical does.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                return body

            def _answer(self) -> None:
                received = len(self._body())
                # Python strips slashes from the beginning of `path`.
                target = self.requestline.split(" ")[1]
                outer.asked.append(
                    (target, {name.lower(): value for name, value in self.headers.items()})
                )
                body = b'{"message": "Ok", "padding": "' + b"x" * size + b'"}'
                self.send_response(500 if received > 1024**2 else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Powered-By", "something")
                self.end_headers()
                if self.path == "/slow":
                    self.wfile.write(body[: size // 2])
                    outer.release.wait(30)
                    body = body[size // 2 :]
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = _answer  # noqa: N815

            def handle(self) -> None:
                with suppress(OSError, ValueError):  # the client closed the connection
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
