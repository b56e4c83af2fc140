"""Start the unit of the recipe on a machine with systemd."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from infisical_iac.workspace import local_file
from infisical_iac.workspace.local_file import LocalFile
from tests.contract.services import wait_until
from tests.recipes.conftest import LOADERS, Make, run
from tests.staging.host import LABEL, host_image
from tests.staging.shell import REPOSITORY, docker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PACKAGE = "/usr/lib/python3/dist-packages/infisical_config"


@pytest.fixture
def machine() -> Iterator[str]:
    """A container that has booted systemd."""
    id = docker(
        *("run", "--detach", "--label", LABEL, "--privileged", "--cgroupns", "private"),
        *("--tmpfs", "/run", "--tmpfs", "/run/lock", host_image("trixie"), "sh", "-c"),
        # A machine has this propagation; systemd needs it for the credentials, and sets it only
        # outside of containers.
        "mount --make-rshared / && exec /sbin/init",
    )
    try:
        yield id
    finally:
        docker("rm", "--force", "--volumes", id, check=False)


@contextmanager
def _relay(port: int) -> Iterator[str]:
    """Yield an address at which containers reach a server on this machine's loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            names = ("content-type", "authorization", "if-none-match")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            server = HTTPConnection("127.0.0.1", port, timeout=30)
            server.request(self.command, self.path, self.rfile.read(length), headers)
            answer = server.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers.get("content-type", ""))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _pass_on  # noqa: N815 - names of the base class

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    gateway = docker(
        "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
    )
    with ThreadingHTTPServer((gateway, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{gateway}:{server.server_port}"
        finally:
            server.shutdown()


def test_a_unit_starts_with_loaded_credentials_and_stops_at_a_refusal(
    make: Make, machine: str
) -> None:
    recipe = make("systemd")

    def inside(command: str, check: bool = True) -> str:
        done = run(REPOSITORY, "docker", "exec", machine, "bash", "-c", command, check=check)
        return done.stdout.strip()

    def put(file: Path, place: str) -> None:
        run(REPOSITORY, "docker", "cp", file, f"{machine}:{place}")

    def has_failed() -> bool:
        return inside("systemctl is-failed backend", False) == "failed"

    wait_until(
        lambda: inside("systemctl is-system-running", False) in ("running", "degraded"),
        "systemd does not boot",
        seconds=60,
    )
    inside("apt-get -qq update && apt-get -qq install --yes --no-install-recommends python3")
    port = urlsplit(recipe.case.world.standin.url).port
    assert port
    with _relay(port) as address:
        place = recipe.case.place("production", "/backend")
        local_file.write(recipe.directory, LocalFile(place["projectId"], address, "/backend"))
        inside("mkdir -p /opt/backend /etc/backend /etc/systemd/system/backend.service.d")
        put(LOADERS / "python" / "infisical_config", _PACKAGE)
        put(recipe.directory / "start", "/opt/backend/start")
        put(recipe.directory / ".infisical.json", "/opt/backend/.infisical.json")
        put(recipe.directory / "backend.service", "/etc/systemd/system/backend.service")
        put(recipe.deliver("credentials.env", "production"), "/etc/backend/credentials.env")
        inside("chown -R root: /opt/backend /etc/backend; chmod 755 /opt/backend/start")
        # The relay is on a network of this machine; a real Infisical has https.
        drop_in = "/etc/systemd/system/backend.service.d/http.conf"
        inside(f"printf '[Service]\\nEnvironment=INFISICAL_ALLOW_HTTP=1\\n' > {drop_in}")
        inside("systemctl daemon-reload && systemctl start backend")
        url = f"http://127.0.0.1:{recipe.port}/"
        fetch = f"python3 -c \"import urllib.request as r; print(r.urlopen('{url}').status)\""
        log = "journalctl -u backend -o cat"
        wait_until(
            lambda: inside(fetch, False) == "200", "it does not serve", lambda: inside(log), 30
        )
        pid = inside("systemctl show -p MainPID --value backend")
        environ = inside(f"tr '\\0' '\\n' < /proc/{pid}/environ")
        names = {line.partition("=")[0] for line in environ.splitlines()}
        assert {"DATABASE_URL", "INFISICAL_ENVIRONMENT"} <= names
        assert not {"INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET"} & names
        assert "NODE_ENV=production" in environ.splitlines()
        recipe.revoke("production")
        inside("systemctl restart backend", False)
        for expected in ("used up or revoked", "not tried again for"):
            wait_until(has_failed, "it is not failed", seconds=30)
            assert inside("systemctl show -p ExecMainStatus --value backend") == "77"
            assert inside("systemctl show -p NRestarts --value backend") == "0"
            assert expected in inside(log)
            inside("systemctl restart backend", False)
        assert inside("ls /var/cache/private/backend/*/*.refused")
