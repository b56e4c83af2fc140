"""Test the requests for tunnels at a real proxy, and the sentence on each of its failures."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infisical_iac.agent.runner import Runner
from infisical_iac.agent.servers import TunnelAnswer, Tunnels, open_tunnels
from infisical_iac.core.agent import AgentCall, Question, question
from infisical_iac.instance import given, proof
from infisical_iac.instance.network import ProxyAddress
from infisical_iac.instance.proof import (
    NOBODY,
    describe_proxy_failure,
    describe_tunnel,
    find_proxy_trouble,
    list_proxied,
)
from tests.ports import free_port
from tests.proxy import ForwardProxy
from tests.serving import serving
from tests.unit.agent.fake_runner import FakeRunner, answer
from tests.unit.settings_of import settings_of

_USER, _PASSWORD = "infisical", "not-a-real-password"
_ADDRESS = ProxyAddress("proxy.internal", 3128, _USER)


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with serving(ForwardProxy(user=f"{_USER}:{_PASSWORD}", denied=["denied.example"])) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> FakeRunner:
    host = FakeRunner(tmp_path)
    host.write("/etc/infisical/keys/given_outbound_proxy_password", f"{_PASSWORD}\n")
    return host


def _run(root: Runner, port: int, *more: str, host: str = "127.0.0.1", **changes: str) -> Tunnels:
    user, value = changes.get("user", _USER), changes.get("password", "")
    password = {"key": "given_outbound_proxy_password", "value": value} if user else None
    asked = {"place": f"{host}:{port}", "user": user, "password": password}
    found = answer(question(open_tunnels, proxy=asked, targets=[NOBODY, *more]), root)
    assert _PASSWORD not in str(found)
    return found


def _ask(root: Runner, port: int, *more: str, **changes: str) -> list[TunnelAnswer]:
    found = _run(root, port, *more, **changes)
    assert (found.step, found.reason) == ("", "")
    return [*found.answers]


def test_a_proxy_that_accepts_the_login_is_accepted(root: FakeRunner, proxy: ForwardProxy) -> None:
    (said,) = _ask(root, proxy.port)
    assert said.status == 502
    assert describe_tunnel(_ADDRESS, said) == ""
    assert proxy.requests == [f"CONNECT {NOBODY} failed"]


def test_a_host_of_the_settings_is_reached(root: FakeRunner, proxy: ForwardProxy) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as target:
        place = f"127.0.0.1:{target.getsockname()[1]}"
        said = _ask(root, proxy.port, place)[1]
    assert (said.target, said.status) == (place, 200)
    assert describe_tunnel(_ADDRESS, said) == ""


def test_a_host_of_the_settings_that_the_proxy_denies_is_named(
    root: FakeRunner, proxy: ForwardProxy
) -> None:
    said = _ask(root, proxy.port, "denied.example:443")[1]
    assert said.status == 403
    assert "denied.example:443" in describe_tunnel(_ADDRESS, said)


def test_a_given_password_counts_before_the_one_of_the_host(
    root: FakeRunner, proxy: ForwardProxy
) -> None:
    (said,) = _ask(root, proxy.port, password="another-fake-one")
    assert said.status == 407
    assert "'infisical'" in describe_tunnel(_ADDRESS, said)
    assert "OUTBOUND_PROXY_PASSWORD" in describe_tunnel(_ADDRESS, said)


def test_a_missing_and_a_refused_login_have_different_reasons(
    root: FakeRunner, proxy: ForwardProxy
) -> None:
    (said,) = _ask(root, proxy.port, user="")
    assert said.status == 407
    assert "asks for a login" in describe_tunnel(replace(_ADDRESS, user=""), said)


def test_a_host_without_a_password_asks_no_proxy(root: FakeRunner, proxy: ForwardProxy) -> None:
    root.path("/etc/infisical/keys/given_outbound_proxy_password").unlink()
    found = _run(root, proxy.port)
    assert (found.step, found.reason) == ("password", "given_outbound_proxy_password")
    assert proxy.requests == []


def test_a_closed_port_is_reported(root: FakeRunner) -> None:
    found = _run(root, free_port())
    assert (found.step, found.reason) == ("connect", "Connection refused")


def test_an_unknown_name_is_reported(root: FakeRunner) -> None:
    assert _run(root, 3128, host="proxy.invalid").step == "resolve"


def test_a_server_that_speaks_no_http_is_no_proxy(root: FakeRunner) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            connection.sendall(b"220 smtp.example.com ESMTP\r\n")
            connection.close()

        Thread(target=greet).start()
        assert _run(root, listening.getsockname()[1]).step == "answer"


@pytest.mark.parametrize(
    ("step", "fact"),
    [
        ("password", "`infisical-iac apply`"),
        ("resolve", "proxy.internal"),
        ("connect", "proxy.internal:3128"),
        ("answer", "no HTTP proxy"),
    ],
)
def test_each_failure_has_its_remedy(step: str, fact: str) -> None:
    assert fact in describe_proxy_failure(_ADDRESS, step, "because")


def test_a_web_server_is_no_proxy(root: FakeRunner) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.handle_request).start()
        (said,) = _ask(root, server.server_port)
    assert said.status == 501
    assert "web server" in describe_tunnel(_ADDRESS, said)


def test_a_proxy_that_denies_a_host_of_the_settings_is_not_used(
    root: FakeRunner, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(asked: Question[Tunnels]) -> Tunnels:
        (call,) = asked.calls
        there = call.arguments.replace("proxy.internal:3128", f"127.0.0.1:{proxy.port}")
        return answer(Question((AgentCall(call.name, there),), asked.read), root)

    monkeypatch.setattr(proof, "ask", ask)
    monkeypatch.setattr(given, "_values", {})
    address = f"http://{_USER}@proxy.internal:3128"
    assert find_proxy_trouble(settings_of(outbound_proxy=address)) == ""
    denied = {"LICENSE_SERVER_URL": "https://denied.example"}
    settings = settings_of(outbound_proxy=address, infisical_environment=denied)
    assert "denied.example:443" in find_proxy_trouble(settings)


def test_hosts_in_no_proxy_are_not_asked_for() -> None:
    settings = settings_of(
        outbound_proxy="http://proxy.internal:3128",
        no_proxy=(".internal",),
        infisical_environment={
            "URL_GITLAB_URL": "https://git.internal",
            "LICENSE_SERVER_URL": "https://license.example.com",
            "POSTHOG_HOST": "http://plain.example.com",
        },
        login={"github": {"client_id": "Iv1.fake"}},
    )
    assert list_proxied(settings) == [
        "license.example.com:443",
        "github.com:443",
        "api.github.com:443",
    ]


def test_the_proxys_own_host_is_reached_without_the_proxy() -> None:
    settings = settings_of(
        outbound_proxy="http://git.internal:3128",
        infisical_environment={"URL_GITLAB_URL": "https://git.internal"},
    )
    assert list_proxied(settings) == []
    assert settings.instance.is_direct("git.internal")


@pytest.mark.parametrize(
    ("license_key", "environment", "asked"),
    [
        ("online", {}, ["portal.infisical.com:443"]),
        ("offline", {}, []),
        ("online", {"LICENSE_SERVER_URL": "https://l.example"}, ["l.example:443"]),
    ],
)
def test_the_license_server_is_asked_for(
    license_key: str, environment: dict[str, str], asked: list[str]
) -> None:
    settings = settings_of(
        outbound_proxy="http://proxy.internal:3128",
        license_key=license_key,
        infisical_environment=environment,
    )
    assert list_proxied(settings) == asked
