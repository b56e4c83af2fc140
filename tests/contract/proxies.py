"""Debian's nginx and HAProxy with the project's lines, and clients that send raw requests."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from infisical_iac.cluster.stack_file import configs
from tests.ports import free_port
from tests.unit.rendered_stack import stack_inputs, swarm_settings

from .caddies import NAME
from .services import MissingProgram, port_open, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DOCS = Path(__file__).resolve().parents[2] / "docs" / "operate" / "ingress.md"


@dataclass
class Proxy:
    """A running proxy: its port, and the certificate that verifies its own, if it has one."""

    port: int
    trust: Path | None
    process: subprocess.Popen[bytes]

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Return a connection to the proxy, with TLS if it has a certificate."""
        plain = socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))
        plain.settimeout(30)
        if not self.trust:
            return plain
        return self._context.wrap_socket(plain, server_hostname=NAME)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.trust))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def nginx(home: Path, upstream_port: int) -> Proxy:
    """Run nginx with the lines of docs/operate/ingress.md."""
    program = _program("nginx", "nginx-light")
    certificate, port = home / "fullchain.pem", free_port()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-out", str(certificate), "-keyout", str(home / "privkey.pem")),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    lines = read_documented_lines()
    for old, new in (
        ("/etc/letsencrypt/live/secrets.example.com", str(home)),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream_port}"),
        ("listen 443", f"listen {port}"),
        ("listen [::]:443", f"listen [::]:{port}"),
        ("listen 80", f"listen {free_port()}"),
        ("listen [::]:80", f"listen [::]:{free_port()}"),
    ):
        assert old in lines, old
        lines = lines.replace(old, new)
    config = home / "nginx.conf"
    config.write_text(
        f"pid {home}/pid; error_log {home}/error.log; daemon off;\nevents {{}}\n"
        f"http {{ access_log off; keepalive_requests 100000;\n{lines}\n}}\n"
    )
    process = subprocess.Popen([program, "-p", str(home), "-c", str(config)])
    wait_until(lambda: port_open(port), "nginx did not open its port")
    return Proxy(port, certificate, process)


def read_documented_lines() -> str:
    """Return the lines for nginx in docs/operate/ingress.md."""
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found
    return found[1]


def haproxy(home: Path, upstream_port: int, *, asking: bool = False) -> Proxy:
    """Run HAProxy with the part of a cluster's configuration that serves Infisical.

    `asking`: whether HAProxy checks the health of the server behind it, as in a cluster.
    """
    program, port = _program("haproxy", "haproxy"), free_port()
    settings = swarm_settings()
    texts = configs(settings, stack_inputs(settings))
    (text,) = (text for name, text in texts.items() if name.startswith("haproxy_cfg_"))
    servers = r"server-template infisical \d+ tasks.infisical:8080 check"
    lines = [
        *text[: text.index("resolvers docker")].replace(" resolvers docker", "").splitlines(),
        *text[text.index("listen infisical") :].replace(":8080\n", f":{port}\n", 1).splitlines(),
    ]
    config = home / "haproxy.cfg"
    server = f"server one 127.0.0.1:{upstream_port}{' check' * asking}"
    config.write_text(re.sub(servers, server, "\n".join(lines)) + "\n")
    process = subprocess.Popen([program, "-q", "-f", str(config)])
    wait_until(lambda: port_open(port), "HAProxy did not open its port")
    return Proxy(port, None, process)


def _program(name: str, package: str) -> str:
    program = shutil.which(name, path="/usr/sbin:/usr/bin")
    if program is None:
        raise MissingProgram(f"{name} was not found: install the Debian package {package}")
    return program


def send(
    connect: Callable[[], socket.socket],
    targets: Iterable[str],
    *headers: str,
    method: str = "GET",
    host: str = NAME,
) -> list[int]:
    """Request targets by HTTP/1.1 on one connection; return the statuses.

    A closed connection is opened again. Headers are whole lines. Targets and headers are sent as
    written, without any check.
    """
    lines = "".join(f"{each}\r\n" for each in (f"Host: {host}", *headers))
    statuses, connection = [], connect()
    for target in targets:
        try:
            connection.sendall(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            response.read()
        except (OSError, http.client.HTTPException):  # the server closed it after the last answer
            connection.close()
            connection = connect()
            connection.sendall(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            response.read()
        statuses.append(response.status)
        if response.will_close:
            connection.close()
            connection = connect()
    with suppress(OSError):
        connection.close()
    return statuses


def send_by_http2(port: int, trust: Path, home: Path, targets: Sequence[str]) -> list[int]:
    """Request targets by HTTP/2 as written; return the statuses, 0 without an answer."""
    options = (
        *("http2", "path-as-is", "globoff", "silent", 'output = "/dev/null"', "max-time = 60"),
        *(f'cacert = "{trust}"', f'resolve = "{NAME}:{port}:127.0.0.1"'),
        *(r'write-out = "%{http_code}\n"', f'url = "https://{NAME}:{port}/"'),
    )
    blocks = []
    for target in targets:
        escaped = target.replace("\\", "\\\\").replace('"', '\\"')
        blocks.append("\n".join((*options, f'request-target = "{escaped}"')))
    config = home / "curl"
    config.write_text("\nnext\n".join(blocks) + "\n")
    done = subprocess.run(
        ["curl", "--config", str(config)], capture_output=True, text=True, timeout=300
    )
    return [int(each) for each in done.stdout.split()]
