"""An ACME certificate authority on loopback: Pebble, with a DNS that resolves all names to it."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from typing import TYPE_CHECKING

from tests.ports import free_port

from .services import MissingProgram, port_open, wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """Pebble and its name server in separate processes.

    Attributes:
        http_port: the port at which Pebble checks challenges by HTTP.
        tls_port: the port at which Pebble checks challenges by TLS.
        trust: the file of the certificate that verifies Pebble's own HTTPS.
    """

    def __init__(self, home: Path) -> None:
        if shutil.which("pebble") is None:
            raise MissingProgram("pebble was not found: install the Debian package pebble")
        self.http_port, self.tls_port, self._port = free_port(), free_port(), free_port()
        self._home, self._management, names = home, free_port(), free_port()
        self.directory = f"https://localhost:{self._port}/dir"
        self.trust = home / "trust.pem"
        self._certify()
        (home / "pebble.json").write_text(json.dumps({"pebble": self._configuration()}))
        off = [f"-{each}=" for each in ("http01", "https01", "tlsalpn01", "doh", "defaultIPv6")]
        self._processes = [
            self._start(
                *("pebble-challtestsrv", *off, "-defaultIPv4=127.0.0.1"),
                *(f"-dns01=127.0.0.1:{names}", f"-management=127.0.0.1:{free_port()}"),
            ),
            self._start(
                *("pebble", "-config", str(home / "pebble.json")),
                *("-dnsserver", f"127.0.0.1:{names}"),
            ),
        ]
        wait_until(lambda: port_open(self._port), "Pebble did not open its port", self._read_log)

    def _certify(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=localhost"),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-addext", "subjectAltName=DNS:localhost"),
                *("-out", str(self.trust), "-keyout", str(self._home / "key.pem")),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def _configuration(self) -> dict[str, object]:
        return {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(self.trust),
            "privateKey": str(self._home / "key.pem"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
        }

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        with (self._home / "log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def _read_log(self) -> str:
        return (self._home / "log").read_text()

    def root(self) -> Path:
        """Return the file of the root certificate of this authority."""
        file = self._home / "root.pem"
        context = ssl.create_default_context(cafile=str(self.trust))
        url = f"https://localhost:{self._management}/roots/0"
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            file.write_bytes(answer.read())
        return file

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=10)
