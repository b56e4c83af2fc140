"""Debian's Caddy with the rendered Caddyfile, in front of a server that records requests.

Hosts run a newer Caddy from an image. `CADDY=<path>` makes the tests start another program.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from infisical_iac.core.settings import Settings, load
from infisical_iac.stack.ingress import Caddyfile, caddyfile
from tests.ports import free_port
from tests.unit.settings_of import defaults

from .services import MissingProgram, port_open, wait_until

if TYPE_CHECKING:
    from pathlib import Path

NAME = "secrets.example.com"
# Replacements in the rendered text, so that it fits a directory of this machine.
_PLACES = {
    "unix//run/caddy/admin.sock": "unix/{home}/admin.sock",
    "/etc/caddy/tls": "{home}/tls",
    "root /etc/caddy": "root {home}",
    "/var/log/infisical-access": "{home}/log",
    "127.0.0.1:2019": "127.0.0.1:{revision}",
    "{\n\tadmin": "{{\n\thttp_port {http}\n\tadmin",
}


class Answer(NamedTuple):
    """An answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def token(*claims: str) -> dict[str, str]:
    """Return the header with a token of these claims, each `"name":value`."""
    payload = urlsafe_b64encode(f"{{{','.join(claims)}}}".encode()).decode().rstrip("=")
    return {"Authorization": f"Bearer eyJhbGciOiJIUzI1NiJ9.{payload}.obviously-fake"}


MACHINE = token('"identityId":"00000000-fake"', '"iat":1')


class Caddy:
    """A Caddy in a separate process; its files are in `home`."""

    def __init__(self, home: Path, upstream_port: int, **changes: Any) -> None:
        program = shutil.which(os.environ.get("CADDY", "caddy"))
        if program is None:
            raise MissingProgram("caddy was not found: install the Debian package caddy")
        self.home, self.port, self.http = home, free_port(), free_port()
        self._revision, self._upstream, self._program = free_port(), upstream_port, program
        (home / "log").mkdir()
        self.settings = self._settings(changes)
        self.config = home / "Caddyfile"
        self._environment = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}
        self._process: subprocess.Popen[bytes] | None = None
        # The file of the authority that verifies Caddy's certificate, by default Caddy's own.
        self.trust = home / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def _settings(self, changes: dict[str, Any]) -> Settings:
        chosen = {
            "site_url": f"https://{NAME}:{self.port}",
            "http_port": self._upstream,
            "acme_ca": "internal",
        }
        return load(defaults(**(chosen | changes)))

    def write(self, certificate: str = "", /, *edits: tuple[str, str], **changes: Any) -> Caddyfile:
        """Render the Caddyfile into `config`, with `edits` made to its text."""
        if changes:
            self.settings = self._settings(changes)
        rendered = caddyfile(self.settings, certificate)
        text = rendered.text
        places = {
            "home": str(self.home),
            "revision": str(self._revision),
            "http": str(self.http),
        }
        replaced = [(old, new.format(**places)) for old, new in _PLACES.items()]
        for old, new in (*replaced, *edits):
            assert old in text or old.startswith("/etc/caddy"), old
            text = text.replace(old, new)
        self.config.write_text(text)
        return rendered

    def start(self) -> Caddy:
        """Start Caddy, and return once it answers."""
        with (self.home / "stderr").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "run", "--config", self.config, "--adapter", "caddyfile"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: port_open(self._revision), "Caddy did not start", self.log)
        wait_until(self.is_trusted, "Caddy has no certificate", self.log)
        return self

    def is_trusted(self) -> bool:
        """Return whether Caddy serves a certificate that `trust` verifies."""
        try:
            self.tls().close()
        except (OSError, ssl.SSLError):
            return False
        return True

    def log(self) -> str:
        return (self.home / "stderr").read_text()

    def validate(self) -> subprocess.CompletedProcess[str]:
        """Return the output of `caddy validate` for the file."""
        return self._run("validate")

    def reload(self) -> None:
        """Reload the file."""
        done = self._run("reload", "--address", f"unix/{self.home}/admin.sock")
        assert done.returncode == 0, done.stderr

    def _run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, command, "--config", self.config, "--adapter", "caddyfile", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def revision(self) -> str:
        """Return the revision of the configuration that Caddy reports."""
        connection = http.client.HTTPConnection("127.0.0.1", self._revision, timeout=10)
        connection.request("GET", "/", headers={"Host": f"127.0.0.1:{self._revision}"})
        return connection.getresponse().read().decode()

    def connection(self, source: str = "127.0.0.1") -> http.client.HTTPConnection:
        """Return a TLS connection to Caddy, from a loopback address."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.sock = self.tls(source)
        return connection

    def tls(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """Return a TLS socket whose certificate is verified against the file `trust`."""
        context = ssl.create_default_context(cafile=str(self.trust))
        context.set_alpn_protocols(["http/1.1"])
        plain = socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))
        plain.settimeout(30)
        return context.wrap_socket(plain, server_hostname=NAME)

    def fetch_certificate(self) -> str:
        """Return the certificate that Caddy serves, in PEM."""
        with self.tls() as open_socket:
            return ssl.DER_cert_to_PEM_cert(open_socket.getpeercert(binary_form=True) or b"")

    def ask(
        self,
        target: str,
        method: str = "GET",
        *,
        source: str = "127.0.0.1",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send a request with an unchanged target, and return the answer."""
        connection = self.connection(source)
        try:
            return ask(connection, target, method, headers=headers, body=body)
        finally:
            connection.close()

    def plain(self, target: str) -> int:
        """Return the status of Caddy's answer to a request without TLS."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        connection.request("GET", target, headers={"Host": NAME})
        return connection.getresponse().status

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=20)
            self._process = None


def ask(
    connection: http.client.HTTPConnection,
    target: str,
    method: str = "GET",
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send a request with an unchanged target on a connection, and return the answer."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": f"{NAME}:{connection.port}", **(headers or {})}.items():
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    with suppress(OSError):  # a server that refuses a body does not read all of it
        connection.send(body)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


# A function that starts a Caddy with a certificate, edits of the Caddyfile, and changed settings.
StartCaddy = Callable[..., Caddy]
