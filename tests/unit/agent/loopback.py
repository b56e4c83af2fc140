"""Serve a fake API, which answers requests of httpx, on a port of the loopback."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


def _handler(answer: Callable[[httpx.Request], httpx.Response]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = f"http://fake{self.path}"
            headers = dict(self.headers.items())
            timeout = {"timeout": {"read": None}}
            asked = httpx.Request(
                self.command, address, headers=headers, content=body, extensions=timeout
            )
            try:
                found = answer(asked)
            except httpx.RequestError:  # a server that is gone
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(found.status_code)
            for name, value in found.headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        def __getattr__(self, name: str) -> Any:
            """Return the method of each kind of request, such as `do_PATCH`."""
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: Any) -> None: ...

    return Handler


@contextmanager
def serve_api(answer: Callable[[httpx.Request], httpx.Response]) -> Iterator[int]:
    """Yield the port; an answer that is a RequestError breaks the connection."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
