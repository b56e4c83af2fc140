"""Test which headers of a caller pass real proxies, and in which form a token passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from . import proxies
from .caddies import Caddy, token
from .proxies import send
from .upstream import STATUS, Upstream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

# The request headers that Infisical's backend reads: by its source of July 2026 (server/plugins,
# server/routes, ee/routes, lib/config/env.ts) and Fastify 5.8, as read in November 2026. Callers
# send these: the server trusts their values as little as the caller, or they are signed.
OF_CALLERS = {
    "Cookie": "sessions of the web interface",
    "Content-Type": "bodies",
    "If-None-Match": "lists of secrets that have not changed",
    "Origin": "pages of other sites",
    "User-Agent": "audit log",
    "X-GitHub-Event": "webhook of secret scanning",
    "X-GitHub-Delivery": "webhook of secret scanning",
    "X-Hub-Signature": "webhook of secret scanning, from Bitbucket",
    "X-Hub-Signature-256": "webhook of secret scanning",
    "X-Gitlab-Event": "webhook of secret scanning",
    "X-Gitlab-Token": "webhook of secret scanning",
    "X-Data-Source-Id": "webhook of secret scanning, from GitLab",
    "X-Infisical-Signature": "webhook of a honey token",
    "X-Gateway-Upload-Token": "a gateway's recording of a session",
    "X-Kmip-Client-Id": "a KMIP server, which has a token",
    "X-Kmip-Project-Id": "a KMIP server",
    "X-Kmip-Client-Certificate-Serial-Number": "a KMIP server",
    "X-Kmip-Server-Certificate-Serial-Number": "a KMIP server",
}
# Headers that the server trusts as set by a proxy, or that are another way to send a token.
OF_PROXIES = {
    "X-Forwarded-For": "address: Fastify's trustProxy",
    "X-Forwarded-Host": "name: Fastify's trustProxy",
    "X-Forwarded-Proto": "scheme: Fastify's trustProxy",
    "CF-Connecting-IP": "address",
    "Cf-Pseudo-IPv4": "address",
    "X-Client-IP": "address",
    "X-Envoy-External-Address": "address",
    "Fastly-Client-IP": "address",
    "True-Client-IP": "address",
    "X-Real-IP": "address",
    "X-Cluser-Client-IP": "address, in the server's spelling",
    "X-Cluster-Client-IP": "address, in the spelling that is meant",
    "Forwarded-For": "address",
    "X-Forwarded": "address",
    "Forwarded": "address",
    "X-Appengine-User-IP": "address",
    "X-SSL-Client-Cert": "a verified certificate: EST, SSL_CLIENT_CERTIFICATE_HEADER_KEY",
    "X-Identity-TLS-Cert-Auth-Client-Cert": "a verified certificate: login of an identity",
    "X-Api-Key": "a token of releases that still took API keys",
}
# Headers of the same kinds that nothing reads today.
_OTHERS = (
    *("Client-Cert", "Client-Cert-Chain", "SSL-Client-Verify", "X-Forwarded-Client-Cert"),
    *("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Prefix"),
    *("Remote-User", "WL-Proxy-Client-IP", "Cdn-Src-IP", "X_Forwarded_For", "X-Infisical-Edge"),
)
_FORGED = "203.0.113.9"


class ProxiedServer(NamedTuple):
    """A running proxy, and the server behind it."""

    name: str
    connect: Callable[[], socket.socket]
    upstream: Upstream

    def ask(self, *headers: str, target: str = STATUS) -> int:
        self.upstream.asked.clear()
        [status] = send(self.connect, [target], *headers)
        return status

    def read_headers(self) -> dict[str, str]:
        """Return the headers of the request that arrived."""
        [(_, headers)] = self.upstream.asked
        return headers


@pytest.fixture(scope="module", params=["caddy", "nginx", "haproxy"])
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxiedServer]:
    home, upstream = tmp_path_factory.mktemp(request.param), Upstream(0)
    if request.param == "caddy":
        caddy = Caddy(home, upstream.port)
        caddy.write()
        yield ProxiedServer(request.param, caddy.start().tls, upstream)
        caddy.stop()
    else:
        one = getattr(proxies, request.param)(home, upstream.port)
        yield ProxiedServer(request.param, one.connect, upstream)
        one.stop()
    upstream.close()


@pytest.mark.parametrize("spelled", [str, str.lower, str.upper])
def test_headers_that_only_a_proxy_may_set_are_replaced(
    proxied: ProxiedServer, spelled: Callable[[str], str]
) -> None:
    # HAProxy is behind another proxy, which it trusts for these.
    believed = {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"}
    names = [*OF_PROXIES, *_OTHERS]
    forged = [name for name in names if proxied.name != "haproxy" or name not in believed]
    assert proxied.ask(*(f"{spelled(each)}: {_FORGED}" for each in forged)) == 200
    got = proxied.read_headers()
    assert [name for name, value in got.items() if _FORGED in value] == []
    allowed = {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
    assert got.keys() & {each.lower() for each in names} <= allowed
    assert got["x-forwarded-for"] == "127.0.0.1"
    if proxied.name != "haproxy":
        assert (got["x-real-ip"], got["x-forwarded-proto"]) == ("127.0.0.1", "https")


def test_other_headers_of_a_caller_arrive(proxied: ProxiedServer) -> None:
    said = {name: f"{name}-obviously-fake" for name in OF_CALLERS}
    assert proxied.ask(*(f"{name}: {value}" for name, value in said.items())) == 200
    got = proxied.read_headers()
    assert {name: got.get(name.lower()) for name in said} == said


def test_no_header_is_added_for_a_caller_who_sends_none(proxied: ProxiedServer) -> None:
    assert proxied.ask() == 200
    assert proxied.read_headers().keys() & {each.lower() for each in OF_CALLERS} == set()


_TOKEN = token('"identityId":"00000000-fake"')["Authorization"].removeprefix("Bearer ")
_GOOD = f"Authorization: Bearer {_TOKEN}"


@pytest.mark.parametrize("shown", [_TOKEN, "st.00000000-fake.0f.0f", "aGVsbG8+/w==", "opaque~1"])
def test_a_token_arrives(proxied: ProxiedServer, shown: str) -> None:
    assert proxied.ask(f"Authorization: Bearer {shown}") == 200
    assert proxied.read_headers()["authorization"] == f"Bearer {shown}"


@pytest.mark.parametrize(
    "shown",
    [
        (f"Authorization: Xearer {_TOKEN}",),
        (f"Authorization: bearer {_TOKEN}",),
        (f"Authorization: BEARER {_TOKEN}",),
        (f"Authorization: Bearer  {_TOKEN}",),
        (f"Authorization: Bearer\t{_TOKEN}",),
        (f"Authorization: Bearer:{_TOKEN}",),
        (f"Authorization: Bearer {_TOKEN} x",),
        (f"Authorization: Bearer {_TOKEN},",),
        (f"Authorization: Bearer {_TOKEN}, Bearer {_TOKEN}",),
        (f"Authorization: Bearer {_TOKEN}\u00e9",),
        (f"Authorization: {_TOKEN}",),
        (f"Authorization: Basic x{_TOKEN}",),
        # A Caddy that expands placeholders reads these as a missing header, or as a valid one.
        ("Authorization: {aaaaaast.00000000-fake.0f.}",),
        (f"Authorization: {{x}}Bearer {_TOKEN}",),
        (f"Authorization: Token {_TOKEN}",),
        ("Authorization: Bearer",),
        (_GOOD, _GOOD),
        (_GOOD, f"Authorization: Xearer {_TOKEN}"),
        (f"authorization: Xearer {_TOKEN}", _GOOD),
        (_GOOD, "Authorization: "),
        ("Authorization: ", _GOOD),
    ],
)
def test_a_token_in_any_other_form_does_not_arrive(
    proxied: ProxiedServer, shown: tuple[str, ...]
) -> None:
    # nginx answers 400 where a header occurs twice that must occur once.
    assert proxied.ask(*shown) in ((401, 400) if proxied.name == "nginx" else (401,))
    assert proxied.upstream.asked == []


def test_a_blank_after_a_token_is_stripped_first(proxied: ProxiedServer) -> None:
    assert proxied.ask(f"{_GOOD}  ") == 200
    assert proxied.read_headers()["authorization"] == f"Bearer {_TOKEN}"


def test_a_password_is_accepted_only_where_the_server_reads_no_token(
    proxied: ProxiedServer,
) -> None:
    password = "Authorization: Basic dXNlcjpvYnZpb3VzbHktZmFrZQ=="
    for target in (
        "/api/v1/oauth/token",
        "/.well-known/est/device/simpleenroll?x=1",
        "/.well-known/est/device/simplereenroll/",
        "/.well-known/est/applications/some/profiles/other/cacerts",
    ):
        assert proxied.ask(password, target=target) == 200
        assert proxied.ask(f"Authorization: Xearer {_TOKEN} Basic x", target=target) == 401
        assert proxied.ask(f"Authorization: Basic  {_TOKEN}", target=target) == 401
        assert proxied.ask(f"Authorization: Xearer {_TOKEN}", target=target) == 401
        assert proxied.ask(_GOOD, target=target) == 200
    for target in (
        *(
            "/api/v1/oauth/token/x",
            "/api/v1/oauth/tokens",
            "/API/v1/oauth/token",
            "/api/v4/secrets",
        ),
        "/api/v4/secrets?/.well-known/est/x",
        "/.well-known/est/device",
        "/.well-known/est/device/csrattrs",
        "/.well-known/est/device/simpleenroll/x",
        "/.well-known/est/other/some/profiles/other/simpleenroll",
        "/.well-known/est/device/secrets?/simpleenroll",
    ):
        assert proxied.ask(password, target=target) == 401
        assert proxied.upstream.asked == []
