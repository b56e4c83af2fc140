"""Receive a login from the page of Infisical in a browser, as the vendor's command line does."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .errors import TEXTS, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTES = 5
_LONGEST = 65536
_POLL = 0.1  # seconds until the server notices its end


@dataclass(frozen=True)
class BrowserLogin:
    """A login as the page sends it."""

    email: str
    token: str = field(repr=False)


def wait_for_browser(
    address: str, tell: Callable[[str], None], open_page: Callable[[str], object] | None = None
) -> BrowserLogin:
    """Open the page, and wait for the token that it sends to a port of this machine.

    Raises ConfigError `deadline`.
    """
    with _Server(_origin(address)) as server:
        threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True).start()
        try:
            url = f"{address}/login?callback_port={server.server_port}"
            tell(f"Log in within {_MINUTES} minutes in the browser, at {url}")
            (open_page or _open_browser)(url)
            server.has_received.wait(_MINUTES * 60)
        finally:
            server.shutdown()
        if server.received is None:
            text = TEXTS["deadline"].format(address=address, timeout=_MINUTES * 60)
            raise ConfigError("deadline", text)
        return server.received


def _origin(address: str) -> str:
    """Return the origin of an address as browsers write it."""
    parts = urlsplit(address)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def read_pasted(text: str) -> BrowserLogin:
    """Return the login in a text that the page shows if it can't reach the port.

    Raises ConfigError `not_configured`.
    """
    try:
        found = _login(b64decode(text, validate=True))
    except ValueError:
        found = None
    if found is None:
        raise ConfigError(
            "not_configured",
            "this is not the token that the page shows: copy it there as a whole",
        )
    return found


def _login(body: bytes) -> BrowserLogin | None:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    email, token = found.get("email"), found.get("JTWToken")
    if not (isinstance(email, str) and isinstance(token, str) and email and token):
        return None
    return BrowserLogin(email, token)


class _Server(ThreadingHTTPServer):
    """A server for one page only: any other page could send the login of somebody else.

    Each connection has a thread, as browsers also open connections without sending anything.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, origin: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = origin
        self.received: BrowserLogin | None = None
        self.has_received = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Print nothing."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_OPTIONS(self) -> None:
        """Allow the page to send its request."""
        self._answer(204)

    def do_POST(self) -> None:
        """Accept a login."""
        length = self.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdecimal() else 0
        body = self.rfile.read(size) if size <= _LONGEST else b""
        found = _login(body)
        if self._answer(200 if found else 400) and found:
            self.server.received = found
            self.server.has_received.set()

    def _answer(self, status: int) -> bool:
        """Answer a request; return whether it came from the page."""
        is_page = self.headers.get("Origin") == self.server.origin
        self.send_response(status if is_page else 403)
        if is_page:
            self.send_header("Access-Control-Allow-Origin", self.server.origin)
            self.send_header("Access-Control-Allow-Methods", "POST")
            self.send_header("Access-Control-Allow-Headers", "content-type, accept")
            self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return is_page

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _open_browser(url: str) -> None:
    """Open the browser, if this machine has one; the address is printed in any case."""
    import os
    import subprocess
    import sys
    from contextlib import suppress

    if os.name == "nt":
        command = ["rundll32", "url.dll,FileProtocolHandler", url]
    else:
        command = ["open" if sys.platform == "darwin" else "xdg-open", url]
    null = subprocess.DEVNULL
    with suppress(OSError):
        subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
