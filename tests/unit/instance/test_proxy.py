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
from infisical_iac.host.model import MachineState
from infisical_iac.instance.network import ProxyAddress
from infisical_iac.instance.proxy import NOBODY, Proxied, TunnelAnswer, describe, targets
from infisical_iac.stack.compose_file import compose_file
from tests.ports import free_port
from tests.proxy import ForwardProxy, serving
from tests.unit.settings_of import settings_of

_USER, _PASSWORD = "infisical", "not-a-real-password"
_SETTINGS = settings_of(outbound_proxy=f"http://{_USER}@proxy.internal:3128")
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


def _run(root: Path, step: str, stdin: str = "") -> str:
    text = script_file("proxy").replace("/etc/infisical", str(root))
    command = ["sh", "-c", text, "proxy.sh", step]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert _PASSWORD not in done.stdout
    return done.stdout


def _ask(root: Path, port: int, *more: str, **changes: Any) -> list[TunnelAnswer]:
    asked = {"host": "127.0.0.1", "port": port, "user": _USER, "password": ""}
    said = _run(root, "ask", json.dumps(asked | changes | {"targets": [NOBODY, *more]}))
    return [TunnelAnswer(**each) for each in json.loads(said)]


def test_a_proxy_that_accepts_the_login_is_accepted(root: Path, proxy: ForwardProxy) -> None:
    (answer,) = _ask(root, proxy.port)
    assert (answer.step, answer.status) == ("", 502)
    assert describe(_ADDRESS, answer) == ""
    assert proxy.requests == [f"CONNECT {NOBODY} failed"]


def test_a_host_of_the_settings_is_reached(root: Path, proxy: ForwardProxy) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as target:
        place = f"127.0.0.1:{target.getsockname()[1]}"
        answer = _ask(root, proxy.port, place)[1]
    assert (answer.target, answer.status) == (place, 200)
    assert describe(_ADDRESS, answer) == ""


def test_a_host_of_the_settings_that_the_proxy_denies_is_named(
    root: Path, proxy: ForwardProxy
) -> None:
    answer = _ask(root, proxy.port, "denied.example:443")[1]
    assert answer.status == 403
    assert "denied.example:443" in describe(_ADDRESS, answer)


def test_a_given_password_counts_before_the_one_of_the_host(
    root: Path, proxy: ForwardProxy
) -> None:
    (answer,) = _ask(root, proxy.port, password="another-fake-one")
    assert answer.status == 407
    assert "'infisical'" in describe(_ADDRESS, answer)
    assert "OUTBOUND_PROXY_PASSWORD" in describe(_ADDRESS, answer)


def test_a_missing_and_a_refused_login_have_different_reasons(
    root: Path, proxy: ForwardProxy
) -> None:
    (answer,) = _ask(root, proxy.port, user="")
    assert answer.status == 407
    assert "asks for a login" in describe(replace(_ADDRESS, user=""), answer)


def test_a_host_without_a_password_asks_no_proxy(root: Path, proxy: ForwardProxy) -> None:
    (root / "keys/given_outbound_proxy_password").unlink()
    (answer,) = _ask(root, proxy.port)
    assert answer.step == "password"
    assert "`infisical-iac apply`" in describe(_ADDRESS, answer)
    assert proxy.requests == []


def test_a_closed_port_is_reported(root: Path) -> None:
    (answer,) = _ask(root, free_port())
    assert (answer.step, answer.reason) == ("connect", "Connection refused")
    assert "proxy.internal:3128" in describe(_ADDRESS, answer)


def test_an_unknown_name_is_reported(root: Path) -> None:
    (answer,) = _ask(root, 3128, host="proxy.invalid")
    assert answer.step == "resolve"
    assert "proxy.internal" in describe(_ADDRESS, answer)


def test_a_server_that_speaks_no_http_is_no_proxy(root: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            connection.sendall(b"220 smtp.example.com ESMTP\r\n")
            connection.close()

        Thread(target=greet).start()
        (answer,) = _ask(root, listening.getsockname()[1])
    assert answer.step == "answer"
    assert "no HTTP proxy" in describe(_ADDRESS, answer)


def test_a_web_server_is_no_proxy(root: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.handle_request).start()
        (answer,) = _ask(root, server.server_port)
    assert answer.status == 501
    assert "web server" in describe(_ADDRESS, answer)


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
    assert targets(settings) == ["license.example.com:443", "github.com:443", "api.github.com:443"]


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
    assert targets(settings) == asked


def test_the_deployed_proxy_is_read_from_the_compose_file(root: Path) -> None:
    (root / "compose.yaml").write_text(compose_file(_SETTINGS, MachineState()))
    state = Proxied().process(_run(root, "state").splitlines())
    assert state.has_password
    assert state.variables["HTTPS_PROXY"].endswith("@proxy.internal:3128")


def test_a_host_without_infisical_has_no_proxy(tmp_path: Path) -> None:
    state = Proxied().process(_run(tmp_path, "state").splitlines())
    assert (state.variables, state.has_password) == ({}, False)
