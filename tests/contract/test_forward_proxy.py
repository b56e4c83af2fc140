"""Test the forward proxy of the tests."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests import proxy
from tests.certificates import OwnAuthority
from tests.oauth_provider import OAuthProvider
from tests.ports import free_port
from tests.proxy import ForwardProxy
from tests.serving import serving

from .services import port_open, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(proxy.__file__))


@pytest.fixture
def target() -> Iterator[OAuthProvider]:
    """A server of HTTP whose `/user` is a 401."""
    with serving(OAuthProvider()) as running:
        yield running


@pytest.fixture
def forward_proxy() -> Iterator[ForwardProxy]:
    with serving(ForwardProxy()) as running:
        yield running


def _ask(proxy_url: str, url: str) -> int:
    with httpx.Client(proxy=proxy_url, timeout=10) as client:
        return client.get(url).status_code


def test_a_plain_request_is_passed_on(target: OAuthProvider, forward_proxy: ForwardProxy) -> None:
    assert _ask(forward_proxy.url, f"{target.url}/user") == 401
    assert forward_proxy.requests == [f"GET {target.url}/user passed"]
    assert target.requests == [f"GET localhost:{target.port}/user 401"]


def test_a_tunnel_leads_to_a_route(tmp_path: Path, forward_proxy: ForwardProxy) -> None:
    authority = OwnAuthority(tmp_path)
    pair = authority.issue("github.com")
    server = OAuthProvider(certificate=pair.certificate, key=pair.key)
    trust = ssl.create_default_context(cafile=str(authority.ca))
    with (
        serving(server),
        httpx.Client(proxy=forward_proxy.url, verify=trust, timeout=10) as client,
    ):
        forward_proxy.routes["github.com:443"] = ("127.0.0.1", server.port)
        assert client.get("https://github.com/user").status_code == 401
    assert forward_proxy.requests == ["CONNECT github.com:443 passed"]


def test_a_host_is_denied(target: OAuthProvider, forward_proxy: ForwardProxy) -> None:
    forward_proxy.denied = ["localhost"]
    assert _ask(forward_proxy.url, f"{target.url}/user") == 403
    forward_proxy.denied, forward_proxy.deny_all = [], True
    assert _ask(forward_proxy.url, f"{target.url}/user") == 403
    assert target.requests == []


def test_an_unreachable_target_is_a_502(forward_proxy: ForwardProxy) -> None:
    assert _ask(forward_proxy.url, f"http://127.0.0.1:{free_port()}/") == 502
    assert forward_proxy.requests[0].endswith(" failed")


def test_a_login_is_needed_where_one_is_set(target: OAuthProvider) -> None:
    with serving(ForwardProxy(user="fake:password")) as running:
        assert _ask(running.url, f"{target.url}/user") == 401
        assert _ask(f"http://127.0.0.1:{running.port}", f"{target.url}/user") == 407
        assert _ask(f"http://fake:other@127.0.0.1:{running.port}", f"{target.url}/user") == 407


def test_the_program_logs_until_it_is_terminated(target: OAuthProvider, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    program = subprocess.Popen(
        # As on a host, which has no other module of the tests.
        [sys.executable, "-P", PROGRAM, "--port", str(port), "--log", str(log)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: port_open(port), "The proxy did not open its port")
        assert _ask(f"http://127.0.0.1:{port}", f"{target.url}/user") == 401
        program.terminate()
        output, _ = program.communicate(timeout=10)
    finally:
        program.kill()
    assert (program.returncode, output) == (0, "ready\n")
    assert log.read_text().splitlines() == [f"GET {target.url}/user passed"]
