"""Test the lines for nginx in docs/operate/ingress.md, in a real nginx."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

from . import proxies
from .caddies import NAME
from .upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Nginx(NamedTuple):
    """A running nginx: its HTTPS port, and the certificate that verifies its own."""

    port: int
    certificate: Path
    upstream: Upstream

    def ask(self, path: str, *options: str) -> tuple[int, str]:
        """Return the status and the headers of an answer."""
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
    upstream = Upstream()
    one = proxies.nginx(tmp_path_factory.mktemp("nginx"), upstream.port)
    assert one.trust
    yield Nginx(one.port, one.trust, upstream)
    one.stop()
    upstream.close()


def test_requests_are_passed_on_and_answers_have_security_headers(nginx: Nginx) -> None:
    status, headers = nginx.ask("/api/status")
    assert status == 200
    assert headers.startswith("http/2 200")
    for line in ("strict-transport-security: max-age=31536000", "x-content-type-options: nosniff"):
        assert line in headers
    assert re.search(r"server: nginx\r?$", headers, re.MULTILINE), "nginx reports its version"


@pytest.mark.parametrize(
    "path", ["/api/v1/admin/bootstrap", "/API/v1/admin/SIGNUP", "/api/v3/signup/email/verify"]
)
def test_routes_that_make_accounts_are_closed(nginx: Nginx, path: str) -> None:
    before = len(nginx.upstream.asked)
    assert nginx.ask(path, "--data", "{}")[0] == 404
    assert len(nginx.upstream.asked) == before
