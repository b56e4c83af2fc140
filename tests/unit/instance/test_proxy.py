"""Test the requests of proxy.sh at a real proxy, and the sentence on each of its failures."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from infisical_iac.core.rendering import script_file
from infisical_iac.instance import given, proof
from infisical_iac.instance.network import ProxyAddress
from infisical_iac.instance.proof import (
    NOBODY,
    TunnelAnswer,
    describe_proxy_failure,
    describe_tunnel,
    find_proxy_trouble,
    list_proxied,
)
from tests.ports import free_port
from tests.proxy import ForwardProxy
from tests.serving import serving
from tests.unit.settings_of import settings_of

_USER, _PASSWORD = "infisical", "not-a-real-password"
_ADDRESS = ProxyAddress("proxy.internal", 3128, _USER)


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with serving(ForwardProxy(user=f"{_USER}:{_PASSWORD}", denied=["denied.example"])) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/given_outbound_proxy_password").write_text(f"{_PASSWORD}\n")
    return tmp_path


def _run(root: Path, port: int, *more: str, host: str = "127.0.0.1", **changes: str) -> Any:
    user, value = changes.get("user", _USER), changes.get("password", "")
    password = {"key": "given_outbound_proxy_password", "value": value} if user else None
    asked = {"place": f"{host}:{port}", "user": user, "password": password}
    text = script_file("proxy").replace("/etc/infisical", str(root))
    stdin = json.dumps({"proxy": asked, "targets": [NOBODY, *more]})
    command = ["sh", "-c", text, "proxy.sh"]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert _PASSWORD not in done.stdout
    return json.loads(done.stdout)


def _ask(root: Path, port: int, *more: str, **changes: str) -> list[TunnelAnswer]:
    found = _run(root, port, *more, **changes)
    assert (found["step"], found["reason"]) == ("", "")
    return [TunnelAnswer(**each) for each in found["answers"]]


def test_a_proxy_that_accepts_the_login_is_accepted(root: Path, proxy: ForwardProxy) -> None:
    (answer,) = _ask(root, proxy.port)
    assert answer.status == 502
    assert describe_tunnel(_ADDRESS, answer) == ""
    assert proxy.requests == [f"CONNECT {NOBODY} failed"]


def test_a_host_of_the_settings_is_reached(root: Path, proxy: ForwardProxy) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as target:
        place = f"127.0.0.1:{target.getsockname()[1]}"
        answer = _ask(root, proxy.port, place)[1]
    assert (answer.target, answer.status) == (place, 200)
    assert describe_tunnel(_ADDRESS, answer) == ""


def test_a_host_of_the_settings_that_the_proxy_denies_is_named(
    root: Path, proxy: ForwardProxy
) -> None:
    answer = _ask(root, proxy.port, "denied.example:443")[1]
    assert answer.status == 403
    assert "denied.example:443" in describe_tunnel(_ADDRESS, answer)


def test_a_given_password_counts_before_the_one_of_the_host(
    root: Path, proxy: ForwardProxy
) -> None:
    (answer,) = _ask(root, proxy.port, password="another-fake-one")
    assert answer.status == 407
    assert "'infisical'" in describe_tunnel(_ADDRESS, answer)
    assert "OUTBOUND_PROXY_PASSWORD" in describe_tunnel(_ADDRESS, answer)


def test_a_missing_and_a_refused_login_have_different_reasons(
    root: Path, proxy: ForwardProxy
) -> None:
    (answer,) = _ask(root, proxy.port, user="")
    assert answer.status == 407
    assert "asks for a login" in describe_tunnel(replace(_ADDRESS, user=""), answer)


def test_a_host_without_a_password_asks_no_proxy(root: Path, proxy: ForwardProxy) -> None:
    (root / "keys/given_outbound_proxy_password").unlink()
    found = _run(root, proxy.port)
    assert (found["step"], found["reason"]) == ("password", "given_outbound_proxy_password")
    assert proxy.requests == []


def test_a_closed_port_is_reported(root: Path) -> None:
    found = _run(root, free_port())
    assert (found["step"], found["reason"]) == ("connect", "Connection refused")


def test_an_unknown_name_is_reported(root: Path) -> None:
    assert _run(root, 3128, host="proxy.invalid")["step"] == "resolve"


def test_a_server_that_speaks_no_http_is_no_proxy(root: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            connection.sendall(b"220 smtp.example.com ESMTP\r\n")
            connection.close()

        Thread(target=greet).start()
        assert _run(root, listening.getsockname()[1])["step"] == "answer"


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


def test_a_web_server_is_no_proxy(root: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.handle_request).start()
        (answer,) = _ask(root, server.server_port)
    assert answer.status == 501
    assert "web server" in describe_tunnel(_ADDRESS, answer)


def test_a_proxy_that_denies_a_host_of_the_settings_is_not_used(
    root: Path, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: str, *, doing: str, stdin: str) -> str:
        here = json.loads(stdin)
        here["proxy"]["place"] = f"127.0.0.1:{proxy.port}"
        stdin, text = json.dumps(here), command.replace("/etc/infisical", str(root))
        done = subprocess.run(
            text, shell=True, input=stdin, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    monkeypatch.setattr(proof, "run", run)
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
