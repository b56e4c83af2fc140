"""Test which requests a real Caddy with the rendered Caddyfile passes on, and which it refuses."""

from __future__ import annotations

import gzip
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from .caddies import NAME, Caddy
from .upstream import READ, STATUS, WRITE, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024**2


@pytest.fixture(scope="module")
def caddy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    """A Caddy with the settings of a host, shared by the tests."""
    one = Caddy(tmp_path_factory.mktemp("caddy"), upstream.port)
    one.write()
    yield one.start()
    one.stop()


def test_answers_have_security_headers_and_name_no_software(caddy: Caddy) -> None:
    answer = caddy.ask(STATUS)
    assert answer.status == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert {"server", "x-powered-by", "via"} & answer.headers.keys() == set()


def test_http_redirects_to_https_and_names_no_software(caddy: Caddy) -> None:
    command = ("curl", "--silent", "--include", "--header", f"Host: {NAME}")
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{caddy.http}/login?x=1"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.startswith("HTTP/1.1 308")
    assert f"Location: https://{NAME}:{caddy.port}/login?x=1" in done.stdout
    assert "Server:" not in done.stdout


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_all_versions_of_http_are_served(caddy: Caddy, version: str) -> None:
    option = {"1.1": "--http1.1", "2": "--http2", "3": "--http3-only"}[version]
    done = subprocess.run(
        [
            *("curl", "--silent", "--max-time", "20", option, "--cacert", str(caddy.trust)),
            *("--resolve", f"{NAME}:{caddy.port}:127.0.0.1", "--output", "/dev/null"),
            *("--write-out", "%{http_version} %{http_code}"),
            f"https://{NAME}:{caddy.port}{STATUS}",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == f"{version} 200", done.stderr


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/admin/bootstrap",
        "/api/v1/admin/signup",
        "/api/v1/signup/email/signup",
        "/api/v3/signup/email/verify",
        "/api/v3/signup/complete-account/signup",
        "/API/V1/Admin/BOOTSTRAP",
        "/api/v1/admin/bootstrap/",
        "/api/v1/admin/bootstrap?x=1",
        "/api/v9/admin/bootstrap",
        f"https://{NAME}/api/v1/admin/bootstrap",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_routes_that_make_accounts_are_closed(
    caddy: Caddy, upstream: Upstream, target: str, method: str
) -> None:
    before = len(upstream.asked)
    answer = caddy.ask(target, method)
    assert answer.status == 404
    assert "strict-transport-security" in answer.headers
    assert len(upstream.asked) == before


@pytest.mark.parametrize(
    "target",
    ["/api/v1/admin/config", "/api/v3/signup/complete-account/invite", "/api/v1/admin", "/signup"],
)
def test_routes_that_an_invited_person_needs_are_open(caddy: Caddy, target: str) -> None:
    assert caddy.ask(target, "POST").status == 200


@pytest.mark.parametrize(
    ("size", "status"), [(MIB, 200), (MIB + 1, 500), (2_000_000, 413), (20_000_000, 413)]
)
def test_infisical_refuses_a_large_body_and_caddy_a_larger_one(
    caddy: Caddy, size: int, status: int
) -> None:
    answer = caddy.ask(WRITE, "POST", body=b"x" * size)
    assert answer.status == status
    assert "server" not in answer.headers


def test_a_large_body_without_a_length_is_not_passed_on(caddy: Caddy, upstream: Upstream) -> None:
    before = len(upstream.asked)
    connection = caddy.connection()
    connection.putrequest("POST", WRITE, skip_host=True)
    for name, value in (("Host", NAME), ("Transfer-Encoding", "chunked")):
        connection.putheader(name, value)
    connection.endheaders()
    with suppress(OSError):
        for _ in range(30):
            connection.send(b"19000\r\n" + b"x" * 0x19000 + b"\r\n")
        connection.send(b"0\r\n\r\n")
    # Debian's Caddy reports a failure of the server behind it, a newer one a body that is too big.
    assert connection.getresponse().status in (413, 502)
    assert len(upstream.asked) == before


def test_scripts_are_compressed_and_answers_with_secrets_are_not(caddy: Caddy) -> None:
    accept = {"Accept-Encoding": "gzip"}
    script, page, secrets = (
        caddy.ask(path, headers=accept) for path in ("/assets/index.js", "/login", READ)
    )
    assert script.headers["content-encoding"] == "gzip"
    assert gzip.decompress(script.body) == secrets.body
    assert {"content-encoding"} & (page.headers.keys() | secrets.headers.keys()) == set()
