"""Test that the Caddy between Dokploy's Traefik and Infisical trusts only Traefik."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent.access import find_requests
from infisical_iac.agent.runner import Runner
from infisical_iac.stack.access_log import KnownNames, describe_requests
from infisical_iac.stack.ingress import caddyfile
from tests.ports import free_port
from tests.unit.settings_of import settings_of

from .caddies import MACHINE, NAME
from .proxies import send
from .services import MissingProgram, port_open, wait_until
from .spellings import CLOSED, leads_to, spellings
from .upstream import READ, STATUS, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECRET = "obviously-fake-edge-secret"
_SHOWN = f"X-Infisical-Edge: {_SECRET}"
_CALLER = "198.51.100.7"
_FROM = f"X-Forwarded-For: {_CALLER}"


class Between:
    """Caddy with the Caddyfile for Traefik, on a loopback port."""

    def __init__(self, home: Path, secret: str) -> None:
        program = shutil.which(os.environ.get("CADDY", "caddy"))
        if program is None:
            raise MissingProgram("caddy was not found: install the Debian package caddy")
        self.upstream, self.port, self.log = Upstream(0), free_port(), home / "log" / "access.log"
        self.log.parent.mkdir()
        text = caddyfile(settings_of(ingress="traefik")).text
        for old, new in (
            ("unix//run/caddy/admin.sock", f"unix/{home}/admin.sock"),
            ("/var/log/infisical-access", str(self.log.parent)),
            ("127.0.0.1:2019", f"127.0.0.1:{free_port()}"),
            ("http://:8080", f"http://:{self.port}"),
            ("infisical-behind-caddy:8080", f"127.0.0.1:{self.upstream.port}"),
        ):
            assert old in text, old
            text = text.replace(old, new)
        config = home / "Caddyfile"
        config.write_text(text)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "EDGE_SECRET": secret}
        with (home / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [program, "run", "--config", config, "--adapter", "caddyfile"],
                env={name: value for name, value in environment.items() if value},
                stderr=stderr,
            )
        wait_until(lambda: port_open(self.port), "Caddy did not start")

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 10)
        connection.settimeout(30)
        return connection

    def ask(self, *headers: str, target: str = STATUS, host: str = NAME) -> int:
        self.upstream.asked.clear()
        [status] = send(self.connect, [target], *headers, host=host)
        return status

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.upstream.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    one = Between(tmp_path_factory.mktemp("between"), _SECRET)
    yield one
    one.close()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (_FROM,),
        (_FROM, "X-Infisical-Edge: "),
        (_FROM, "X-Infisical-Edge: *"),
        (_FROM, "X-Infisical-Edge: {env.EDGE_SECRET}"),
        (_FROM, f"X-Infisical-Edge: {_SECRET.upper()}"),
        (_FROM, f"{_SHOWN}, {_SECRET}"),
        (_FROM, _SHOWN, _SHOWN),
        (_FROM, f"X_Infisical_Edge: {_SECRET}"),
        # Traefik always names the caller.
        (_SHOWN,),
        (_SHOWN, "X-Forwarded-For: {env.EDGE_SECRET}"),
    ],
)
def test_a_neighbour_of_traefik_is_refused(proxy: Between, headers: tuple[str, ...]) -> None:
    for target in (STATUS, READ, "/", "/api/v1/admin/bootstrap"):
        assert proxy.ask(*headers, target=target) == 403
        assert proxy.upstream.asked == []


def test_without_an_edge_secret_every_request_is_refused(tmp_path: Path) -> None:
    one = Between(tmp_path, "")
    try:
        for shown in ("", " ", "<nil>", "{env.EDGE_SECRET}"):
            assert one.ask(_FROM, f"X-Infisical-Edge: {shown}") == 403
        assert one.ask(_FROM) == 403
    finally:
        one.close()


def test_only_the_caller_that_traefik_names_is_passed_on(proxy: Between) -> None:
    forged = (
        *("X-Real-IP: 203.0.113.9", "CF-Connecting-IP: 203.0.113.9", "X-Forwarded-Proto: http"),
        "X-Forwarded-Host: elsewhere.example.com",
    )
    for chain in (_FROM, f"X-Forwarded-For: 203.0.113.9, 10.0.0.1, {_CALLER}"):
        assert proxy.ask(_SHOWN, chain, *forged) == 200
        [(_, got)] = proxy.upstream.asked
        assert (got["x-forwarded-for"], got["x-real-ip"]) == (_CALLER, _CALLER)
        assert (got["x-forwarded-proto"], got["x-forwarded-host"]) == ("https", NAME)
        assert [name for name, value in got.items() if "203.0.113.9" in value] == []
        assert [value for value in got.values() if _SECRET in value] == []
    assert proxy.ask(_SHOWN, "X-Forwarded-For: 2001:db8::7") == 200
    assert proxy.upstream.asked[0][1]["x-forwarded-for"] == "2001:db8::7"


def test_closed_paths_stay_closed_behind_traefik(proxy: Between) -> None:
    tried = spellings()[::4]
    proxy.upstream.asked.clear()
    statuses = send(proxy.connect, tried, _SHOWN, _FROM)
    assert statuses.count(400) > len(tried) // 2
    arrived = [target for target, _ in proxy.upstream.asked]
    assert [each for each in arrived if leads_to(each, CLOSED)] == []
    assert proxy.ask(_SHOWN, _FROM, target=CLOSED[0]) == 404
    assert proxy.ask(_SHOWN, _FROM, "Authorization: Xearer x") == 401
    assert proxy.ask(_SHOWN, _FROM, host=NAME.upper()) == 421


def test_the_access_log_names_the_caller_of_traefik_and_no_forged_one(proxy: Between) -> None:
    before = len(proxy.log.read_text().splitlines()) if proxy.log.exists() else 0
    machine = f"Authorization: {MACHINE['Authorization']}"
    assert proxy.ask(_SHOWN, _FROM, machine, target=READ) == 200
    assert proxy.ask(_SHOWN, _FROM) == 200
    assert proxy.ask(_FROM, machine) == 403
    wait_until(lambda: len(proxy.log.read_text().splitlines()) >= before + 3, "no new log lines")
    assert _SECRET not in proxy.log.read_text()
    found = find_requests(Runner(), folder=str(proxy.log.parent), since=0, last=3)
    read, other, refused = describe_requests(found, KnownNames())
    assert (read.who, read.address, read.environment) == ("00000000-fake", _CALLER, "production")
    assert (other.who, other.address) == ("", _CALLER)
    assert (refused.address, refused.status) == ("127.0.0.1", 403)
