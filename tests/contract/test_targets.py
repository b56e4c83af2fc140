"""Test that real proxies pass on no spelling of a forbidden path, in any reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from infisical_iac.stack import paths

from . import proxies
from .caddies import NAME, Caddy
from .proxies import DOCS, read_documented_lines, send, send_by_http2
from .spellings import CLOSED, LIMITED, OPEN, PLAIN, leads_to, spellings
from .upstream import Upstream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# Caddy has lists of networks, and this machine is in neither.
_ELSEWHERE = "127.0.0.4"
_NETWORKS = {"ui_networks": ("127.0.0.2/32",), "machine_networks": ("127.0.0.3/32",)}


_ESCAPES = ("%00", "%0a", "%23", "%25", "%2e", "%2f", "%3b", "%3f", "%5c", "%61", "%c0")


class ProxiedServer(NamedTuple):
    """A running proxy and the server behind it, which `forbidden` targets must not reach."""

    name: str
    connect: Callable[[], socket.socket]
    upstream: Upstream
    forbidden: tuple[str, ...]
    port: int
    trust: Path | None

    def judge(self, statuses: list[int], tried: Sequence[str]) -> None:
        """Assert that most were refused, and that no forbidden target arrived.

        HTTP/2 streams with an invalid target, which Caddy resets, have no status.
        """
        assert len(statuses) == len(tried)
        assert set(statuses) <= {0, 200, 400, 403, 404}
        assert statuses.count(400) > len(tried) * 3 // 4
        arrived = [each.removeprefix(f"https://{NAME}") for each, _ in self.upstream.asked]
        assert [each for each in arrived if _is_ambiguous(each)] == []
        assert [each for each in arrived if leads_to(each, self.forbidden)] == []


@pytest.fixture(scope="module", params=["caddy", "nginx", "haproxy"])
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedServer]:
    home, upstream = tmp_path_factory.mktemp(request.param), Upstream(0)
    if request.param == "caddy":
        caddy = Caddy(home, upstream.port, **_NETWORKS)
        caddy.write()
        caddy.start()
        connect = lambda: caddy.tls(_ELSEWHERE)  # noqa: E731
        forbidden: tuple[str, ...] = (*CLOSED, *LIMITED)
        yield ProxiedServer(request.param, connect, upstream, forbidden, caddy.port, caddy.trust)
        caddy.stop()
    else:
        one = getattr(proxies, request.param)(home, upstream.port)
        # HAProxy closes no path: it is behind the Caddy of each node.
        forbidden = CLOSED if request.param == "nginx" else ()
        yield ProxiedServer(request.param, one.connect, upstream, forbidden, one.port, one.trust)
        one.stop()
    upstream.close()


def _is_ambiguous(target: str) -> bool:
    path = target.partition("?")[0].lower()
    return any(each in path for each in (";", "#", "\\", "//", "/.", *_ESCAPES))


def _by_http1(proxied: ProxiedServer) -> tuple[str, ...]:
    """Send all spellings, or a part of them where each refusal costs a new TLS connection."""
    return spellings() if proxied.name == "caddy" else spellings()[::5]


def test_no_spelling_of_a_forbidden_path_arrives(proxied: ProxiedServer) -> None:
    tried = _by_http1(proxied)
    assert len(tried) > 1000
    proxied.upstream.asked.clear()
    proxied.judge(send(proxied.connect, tried), tried)


def test_no_forbidden_target_arrives_in_absolute_form(proxied: ProxiedServer) -> None:
    tried = [f"https://{NAME}{each}" for each in _by_http1(proxied)[::2]]
    proxied.upstream.asked.clear()
    proxied.judge(send(proxied.connect, tried), tried)
    assert send(proxied.connect, [f"https://{NAME}{OPEN}"]) == [200]


def test_no_forbidden_target_arrives_by_http2(proxied: ProxiedServer, tmp_path: Path) -> None:
    if proxied.trust is None:
        assert proxied.name == "haproxy"  # it serves no TLS, and HTTP/2 is offered only by TLS
        return
    proxied.upstream.asked.clear()
    proxied.judge(send_by_http2(proxied.port, proxied.trust, tmp_path, spellings()), spellings())


def test_targets_that_callers_need_arrive_unchanged(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    upstream = Upstream(0)
    caddy = Caddy(tmp_path_factory.mktemp("open"), upstream.port)
    caddy.write()
    caddy.start()
    try:
        for start in (proxies.nginx, proxies.haproxy):
            one = start(tmp_path_factory.mktemp("plain"), upstream.port)
            upstream.asked.clear()
            assert send(one.connect, PLAIN) == [200] * len(PLAIN)
            assert [target for target, _ in upstream.asked] == list(PLAIN)
            one.stop()
        upstream.asked.clear()
        assert send(caddy.tls, PLAIN) == [200] * len(PLAIN)
        assert [target for target, _ in upstream.asked] == list(PLAIN)
    finally:
        caddy.stop()
        upstream.close()


def test_the_lines_for_nginx_have_the_same_rules() -> None:
    lines = read_documented_lines()
    for rule in (paths.TARGET, paths.TARGET_AND_CREDENTIALS, paths.CLOSED.removeprefix("(?i)")):
        assert f'"{rule}"' in lines, f"write {rule} into {DOCS}"
    for header in paths.OF_CALLERS:
        assert f"proxy_set_header {header} $http_" in lines
