"""Test the route of requests to Infisical, and variables that could redirect them."""

import os
import socket
from pathlib import Path

import pytest

from infisical_config import ConfigError, load
from infisical_config.route import Route
from tests import service
from tests.scripted import LOGIN, ScriptedServer, eventually, listing
from tests.vault import Vault
from tests.watching.test_watch_requests import FORBIDDEN
from tests.watching.watched import Watched

ELSEWHERE = "http://127.0.0.1:1"
ADDRESS = "https://secrets.example.com"


def test_plain_http_to_this_machine_takes_no_proxy(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would read the client secret."""
    monkeypatch.setenv("http_proxy", ELSEWHERE)
    assert load(directory=home).A == "value-of-a"


def test_the_environments_own_proxy_and_authorities_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/own.pem")
    route = Route.to(ADDRESS)
    assert (route.proxies["https"], route.verify) == (
        "http://proxy.example.com:3128",
        "/etc/own.pem",
    )
    monkeypatch.setenv("NO_PROXY", "secrets.example.com")
    assert Route.to(ADDRESS).proxies == {}


def test_the_key_log_is_that_of_the_environment_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with_log = Route.to(ADDRESS).tls
    monkeypatch.delenv("SSLKEYLOGFILE")
    without = Route.to(ADDRESS).tls
    logs = [getattr(tls, "keylog_filename", "") for tls in (with_log, without)]
    assert logs == [str(tmp_path / "keys"), None]


def test_a_watch_logs_in_again_by_the_route_of_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets that are allowed to set proxies set none for the loader's own next login."""
    proxies = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "REQUESTS_CA_BUNDLE")
    for each in ("A", *proxies):
        monkeypatch.delenv(each, raising=False)
        monkeypatch.setenv(each, "")  # is removed again when the test ends
        monkeypatch.delenv(each)
    vault = Vault(A="1", **dict.fromkeys(proxies, ELSEWHERE))
    name = "infisical.example.com"
    with ScriptedServer(listed=[vault]) as server:
        # The name does not look like loopback, to which no proxy would be used.
        port = server.address.rpartition(":")[2]
        home = service.directory(tmp_path / "service", f"http://{name}:{port}")
        _resolve(name, monkeypatch)
        watched = Watched(home, allow_http=True, allow=proxies, into=os.environ)
        try:
            assert [os.environ[each] for each in proxies] == [ELSEWHERE] * 4
            vault.broken = [FORBIDDEN]
            vault.values = {**vault.values, "A": "2"}
            assert eventually(lambda: watched.changes or watched.errors)
        finally:
            watched.watch.stop()
        assert ([names for _, names in watched.changes], watched.errors) == ([["A"]], [])
        assert server.count("login") == 2


def _resolve(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *args: object, **options: object) -> object:
        return real("127.0.0.1" if host == name else host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_a_redirect_to_plain_http_is_not_followed(server: ScriptedServer, home: Path) -> None:
    with ScriptedServer(listed=[listing(A="elsewhere")]) as other:
        location = {"location": f"{other.address}/api/v1/auth/universal-auth/login"}
        server.scripts["login"] = [{"status": 308, "headers": location, "text": ""}, LOGIN]
        with pytest.raises(ConfigError) as failure:
            load(directory=home)
    assert failure.value.code == "not_infisical"
    assert other.seen == []
