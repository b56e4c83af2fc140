"""Receive webhooks on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

_HEARTBEAT = "/ping/obviously-fake-token"


@dataclass
class Receiver:
    """The received messages; `status` is the answer to the sender.

    Attributes:
        heartbeat: an address that is only called, and has no message.
        calls: the paths that were called there.
    """

    url: str = ""
    heartbeat: str = ""
    status: int = 200
    received: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)


@contextmanager
def receiver(address: str = "127.0.0.1") -> Iterator[Receiver]:
    """Yield a receiver that listens at an address of this machine while the context is open."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith(_HEARTBEAT):
                found.calls.append(self.path)
            else:
                found.received.append(json.loads(body))
            self.send_response(found.status)
            self.end_headers()

        def do_GET(self) -> None:
            found.calls.append(self.path)
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer((address, 0), Handler) as server:
        base = f"http://{address}:{server.server_port}"
        found.url, found.heartbeat = f"{base}/hook/obviously-fake-token", f"{base}{_HEARTBEAT}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
