"""Test the canary against a server on the loopback, and the question on sign-up."""

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from infisical_iac.agent import vitals
from infisical_iac.agent.canary import CANARY_FILE, CanaryRun, CanaryTarget, run_canary
from tests.certificates import KeyPair, OwnAuthority
from tests.unit.agent.fake_runner import FakeRunner

_LOGIN = (
    "INFISICAL_IDENTITY_ID=i\nINFISICAL_CLIENT_ID=c\nINFISICAL_CLIENT_SECRET=obviously-fake\n"
    "INFISICAL_PROJECT_ID=p\nINFISICAL_ENVIRONMENT=prod\n"
)


class _Api(BaseHTTPRequestHandler):
    """An Infisical that keeps one value; `refused` has the statuses of methods and paths."""

    refused: ClassVar[dict[tuple[str, str], int]] = {}
    asked: ClassVar[list[tuple[str, str, str]]] = []
    value: ClassVar[str] = ""
    config: ClassVar[dict[str, bool]] = {}
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        path = self.path.partition("?")[0]
        self.asked.append((self.command, path, self.headers.get("Host", "")))
        statuses = (
            status
            for (method, begin), status in self.refused.items()
            if method == self.command and path.startswith(begin)
        )
        status = next(statuses, 200)
        found: dict[str, Any] = {"accessToken": "obviously-fake-token"}
        if path == "/api/v1/admin/config":
            found = {"config": self.config}
        elif self.command == "PATCH":
            type(self).value = json.loads(body)["secrets"][0]["secretValue"]
        elif self.command == "GET":
            found = {"secret": {"secretValue": self.value}}
        text = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def __getattr__(self, name: str) -> Any:
        """Return the method of each kind of request, such as `do_PATCH`."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def _serve(pair: KeyPair | None = None) -> Iterator[int]:
    """Yield the port of an Infisical on the loopback, with a certificate if there is a pair."""
    _Api.refused.clear()
    _Api.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), _Api)
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def _canary(tmp_path: Path, url: str, login: str = _LOGIN, **target: Any) -> CanaryRun:
    host = FakeRunner(tmp_path)
    if login:
        host.write(CANARY_FILE, login)
    return run_canary(host, CanaryTarget(url, **target), 1000.0)


def test_the_canary_logs_in_and_writes_reads_and_deletes_a_secret(tmp_path: Path) -> None:
    with _serve() as port:
        found = _canary(tmp_path, f"http://127.0.0.1:{port}")
    assert (found.at, found.failure) == (1000.0, "")
    assert [*found.seconds] == ["login", "write", "read", "delete"]
    assert [method for method, *_ in _Api.asked] == ["POST", "PATCH", "GET", "DELETE"]


def test_the_canary_accepts_only_a_certificate_for_the_name(tmp_path: Path) -> None:
    authority = OwnAuthority(tmp_path / "ca")
    # A file that is missing is no authority.
    files = [str(authority.ca), str(tmp_path / "none.crt")]
    own: dict[str, Any] = {"address": "127.0.0.1", "authorities": files}
    with _serve(authority.issue("secrets.example.com")) as port:
        url = f"https://secrets.example.com:{port}"
        assert _canary(tmp_path, url, **own).failure == ""
        assert _Api.asked[0][2] == f"secrets.example.com:{port}"
        unknown = _canary(tmp_path, url, address="127.0.0.1")
        other = _canary(tmp_path, f"https://other.example.com:{port}", **own)
    for found in (unknown, other):
        assert re.search("logging in.* certificate", found.failure)


@pytest.mark.parametrize(
    ("method", "path", "step"),
    [
        ("POST", "/api/v1/auth/universal-auth/login", "logging in"),
        ("PATCH", "/api/v4/secrets/batch", "writing a secret"),
        ("GET", "/api/v4/secrets/PROBE_", "reading the secret"),
        ("DELETE", "/api/v4/secrets/PROBE_", "deleting the secret"),
    ],
)
def test_the_step_that_fails_is_named(tmp_path: Path, method: str, path: str, step: str) -> None:
    with _serve() as port:
        _Api.refused[method, path] = 403
        found = _canary(tmp_path, f"http://127.0.0.1:{port}")
    assert found.failure == f"{step} fails: HTTP 403"


def test_a_canary_without_a_login_or_a_server_fails_in_a_sentence(tmp_path: Path) -> None:
    with _serve() as port:
        assert "not on the host" in _canary(tmp_path, f"http://127.0.0.1:{port}", "").failure
    gone = _canary(tmp_path, f"http://127.0.0.1:{port}").failure
    assert re.search("logging in.* refused", gone)


@pytest.mark.parametrize(
    ("config", "is_open"),
    [
        ({"initialized": True, "allowSignUp": True}, True),
        ({"initialized": True, "allowSignUp": False}, False),
        # The first deploy closes it.
        ({"initialized": False, "allowSignUp": True}, False),
        ({}, None),
    ],
)
def test_sign_up_is_asked_for_on_the_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, bool], is_open: bool | None
) -> None:
    monkeypatch.setattr(_Api, "config", config)
    with _serve() as port:
        url = f"http://127.0.0.1:{port}"
        found = vitals.observe(FakeRunner(tmp_path), timers=(), lock="/run/x.lock", api=url)
        assert found.is_sign_up_open is is_open
    gone = vitals.observe(FakeRunner(tmp_path), timers=(), lock="/run/x.lock", api=url)
    assert gone.is_sign_up_open is None
