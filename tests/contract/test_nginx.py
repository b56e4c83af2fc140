"""The lines for nginx in docs/ingress.md do what they are there for, in a real nginx."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from infisical_iac.ingress import paths

from .caddies import NAME
from .services import MissingProgram, free_port, port_open, wait_until
from .upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCS = Path(__file__).resolve().parents[2] / "docs" / "ingress.md"


class Nginx(NamedTuple):
    """One that runs: the port of its https, and the certificate that it is trusted by."""

    port: int
    certificate: Path
    upstream: Upstream

    def ask(self, path: str, *options: str) -> tuple[int, str]:
        """The status and the headers of an answer."""
        done = subprocess.run(
            [
                *("curl", "--silent", "--path-as-is", "--max-time", "20", "--dump-header", "-"),
                *("--cacert", str(self.certificate), "--output", "/dev/null"),
                *("--resolve", f"{NAME}:{self.port}:127.0.0.1", "--write-out", "%{http_code}"),
                *options,
                f"https://{NAME}:{self.port}{path}",
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        headers, _, status = done.stdout.rpartition("\n")
        return int(status), headers.lower()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None:
        raise MissingProgram("nginx was not found: install the Debian package nginx-light")
    home, upstream = tmp_path_factory.mktemp("nginx"), Upstream()
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
    found = re.search(r"```nginx\n(.*?)```", _DOCS.read_text(), re.DOTALL)
    assert found
    lines = found[1]
    for old, new in (
        ("/etc/letsencrypt/live/secrets.example.com", str(home)),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream.port}"),
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
        f"http {{ access_log off;\n{lines}\n}}\n"
    )
    process = subprocess.Popen([program, "-p", str(home), "-c", str(config)])
    wait_until(lambda: port_open(port), "nginx did not open its port")
    yield Nginx(port, certificate, upstream)
    process.terminate()
    process.wait(timeout=20)
    upstream.close()


def test_requests_are_passed_on_by_new_http_with_what_protects_a_browser(nginx: Nginx) -> None:
    status, headers = nginx.ask("/api/status")
    assert status == 200
    assert headers.startswith("http/2 200")
    for line in ("strict-transport-security: max-age=31536000", "x-content-type-options: nosniff"):
        assert line in headers
    assert re.search(r"server: nginx\r?$", headers, re.MULTILINE), "it tells its version"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/admin/bootstrap",
        "/API/v1/admin/SIGNUP",
        "//api//v1/admin/bootstrap",
        "/api/v1/admin/%62ootstrap",
        "/api/v1/admin/bootstrap;x",
        "/api/v1/x/../admin/bootstrap",
        "/api/v3/signup/email/verify",
    ],
)
def test_what_makes_accounts_is_closed(nginx: Nginx, path: str) -> None:
    before = len(nginx.upstream.asked)
    assert nginx.ask(path, "--data", "{}")[0] == 404
    assert len(nginx.upstream.asked) == before


def test_a_forged_address_is_dropped(nginx: Nginx) -> None:
    names = (*paths.FORGEABLE, "X-Forwarded-For", "X-Real-IP")
    forged = [word for name in names for word in ("--header", f"{name}: 203.0.113.9")]
    assert nginx.ask("/api/forged", *forged)[0] == 200
    _, headers = nginx.upstream.asked[-1]
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert [value for value in headers.values() if "203.0.113.9" in value] == []
