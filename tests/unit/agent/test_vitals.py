"""Test that the state of the machine is read as the kernel and systemd report it."""

import json
import os
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from infisical_iac.agent import vitals
from infisical_iac.agent.health import DRIFT, HOSTS
from infisical_iac.agent.runner import Output
from infisical_iac.agent.vitals import (
    CANARY_FILE,
    CanaryRun,
    CanaryTarget,
    DriftRecord,
    Vitals,
    run_canary,
)
from infisical_iac.monitoring.drift import Answer, message
from tests.certificates import KeyPair, OwnAuthority
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.watching import running

_LOCK = "/run/infisical-iac.lock"


def _observe(host: FakeRunner, *timers: str) -> Vitals:
    return vitals.observe(host, timers=timers, lock=_LOCK)


def test_memory_load_and_uptime_are_read_from_the_kernel(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    host.write("/proc/uptime", "350735.47 234388.90\n")
    host.write("/proc/loadavg", "0.20 0.18 0.12 1/80 11206\n")
    host.write(
        "/proc/meminfo",
        "MemTotal:  4000 kB\nMemAvailable: 1000 kB\nSwapTotal: 500 kB\nSwapFree: 400 kB\n"
        "HugePages_Total:       0\n",
    )
    found = _observe(host)
    assert (found.uptime, found.load) == (350735.47, 0.12)
    assert (found.memory, found.available) == (4000 * 1024, 1000 * 1024)
    assert (found.swap, found.free_swap) == (500 * 1024, 400 * 1024)


def test_a_machine_without_programs_and_files_has_no_state(tmp_path: Path) -> None:
    found = _observe(FakeRunner(tmp_path), "a.timer")
    assert (found.failed_units, found.stopped_timers, found.synchronized) == ((), (), None)
    assert (found.reboot_due, found.lock_taken, found.uptime) == (None, None, 0.0)


def test_failed_units_and_stopped_timers_are_read_from_systemd(tmp_path: Path) -> None:
    failed = [{"unit": "b.service", "load": "loaded"}, {"unit": "a.service", "load": "loaded"}]
    shown = "Id=a.timer\nActiveState=active\n\nId=b.timer\nActiveState=inactive\n"
    answers = {"systemctl list-units": json.dumps(failed), "systemctl show": shown}
    found = _observe(FakeRunner(tmp_path, answers=answers), "a.timer", "b.timer")
    assert found.failed_units == ("a.service", "b.service")
    assert found.stopped_timers == ("b.timer",)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"timedatectl": "yes\n"}, True),
        ({"timedatectl": "no\n"}, False),
        ({"timedatectl": "no\n", "systemd-detect-virt": Output(0)}, None),
        ({}, None),
    ],
)
def test_the_clock_of_a_container_is_that_of_its_host(
    tmp_path: Path, answers: dict[str, str | Output], expected: bool | None
) -> None:
    assert _observe(FakeRunner(tmp_path, answers=answers)).synchronized is expected


def test_a_reboot_and_the_lock_have_their_times(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    for path, at in (("/run/reboot-required", 1795600800), (_LOCK, 1795600900)):
        os.utime(host.write(path, ""), (at, at))
    found = _observe(host)
    assert (found.reboot_due, found.lock_taken) == (1795600800, 1795600900)


def test_a_recovery_kit_is_due_as_soon_as_a_file_in_it_has_changed(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    assert _observe(host).kit == "none has been made"
    files = {"keys/encryption_key": "fake-key\n", "credentials/a.env": "A=1\n", "deployer.env": "B"}
    for path, text in files.items():
        host.write(f"/etc/infisical/{path}", text)
    record = {
        path: sha256(f"infisical-iac {path} fake-key\n{text}".encode()).hexdigest()[:16]
        for path, text in files.items()
    }
    host.write("/etc/infisical/recovery-kit.json", json.dumps({"files": record}))
    assert _observe(host).kit == ""
    # `apply` re-creates these.
    host.write("/etc/infisical/credentials/a.env", "A=2\n")
    assert _observe(host).kit == ""
    host.write("/etc/infisical/deployer.env", "C")
    assert _observe(host).kit.startswith("deployer.env ")
    host.write("/etc/infisical/keys/encryption_key", "other\n")
    assert _observe(host).kit.startswith("keys/encryption_key ")


def test_the_addresses_of_containers_are_written_in_place(tmp_path: Path) -> None:
    """The exporters have the file mounted, so that another one in its place would not be seen."""
    host = FakeRunner(tmp_path)
    host.write(HOSTS, "")
    file = host.path(HOSTS)
    before = file.stat().st_ino
    vitals.write_hosts(host, {"redis": running(address="172.20.0.3"), "caddy": running()})
    lines = ["127.0.0.1 localhost", "172.20.0.3 redis.infisical.internal"]
    assert file.read_text().splitlines() == lines
    assert (file.stat().st_ino, file.stat().st_mode & 0o777) == (before, 0o644)
    vitals.write_hosts(host, {})
    assert file.read_text().splitlines() == lines


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
        found = vitals.observe(FakeRunner(tmp_path), timers=(), lock=_LOCK, api=url)
        assert found.is_sign_up_open is is_open
    gone = vitals.observe(FakeRunner(tmp_path), timers=(), lock=_LOCK, api=url)
    assert gone.is_sign_up_open is None


def test_the_result_of_the_drift_check_is_read(tmp_path: Path) -> None:
    """The file is written by `infisical-iac drift`, in the form that its webhook gets."""
    host = FakeRunner(tmp_path)
    assert _observe(host).drift is None
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    answer = Answer("hetzner", at, ["~ sign-up: open → closed", "* identity ci"])
    host.write(DRIFT, json.dumps(message(answer)))
    assert _observe(host).drift == DriftRecord(at.timestamp(), tuple(answer.changes))
    host.write(DRIFT, "[]")
    assert _observe(host).drift is None
