"""Test that the health checks of Infisical, in three languages, send the same two requests.

The status shows that Infisical reaches Redis. The login of an identity that can't exist shows that
it reaches the database: it is refused with 401.
"""

import json
import re
from pathlib import Path

import httpx

from infisical_iac.api.client import Client

_STATUS = "/api/status"
_LOGIN = "/api/v1/auth/universal-auth/login"
_NOBODY = {"clientId": "00000000-0000-0000-0000-000000000000", "clientSecret": "none"}


def test_the_check_of_the_container_sends_the_two_requests() -> None:
    text = Path("templates/stack/parts/infisical-readiness.j2").read_text()
    assert re.findall(r"http://127\.0\.0\.1:8080(/[^\s)\"]+)", text) == [_STATUS, _LOGIN]
    [body] = re.findall(r"--data '([^']+)'", text)
    assert json.loads(body) == _NOBODY
    assert "test 401 =" in text


def test_the_check_of_haproxy_sends_the_two_requests() -> None:
    text = Path("templates/cluster/haproxy.cfg.j2").read_text().partition("listen infisical\n")[2]
    sent = re.findall(r"http-check send meth (\w+) uri (\S+)", text)
    assert sent == [("GET", _STATUS), ("POST", _LOGIN)]
    [body] = re.findall(r"http-check send .* body '([^']+)'", text)
    assert json.loads(body) == _NOBODY
    assert re.findall(r"http-check expect status (\d+)", text) == ["200", "401"]


def test_the_check_of_the_client_sends_the_two_requests() -> None:
    sent: list[tuple[str, str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        sent.append((request.method, request.url.path, body))
        return httpx.Response(200 if request.method == "GET" else 401, json={})

    with Client("http://127.0.0.1:8080", httpx.MockTransport(answer)) as client:
        assert client.answers()
    assert sent == [("GET", _STATUS, None), ("POST", _LOGIN, _NOBODY)]
