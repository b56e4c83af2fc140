"""Test the route of requests to Infisical, and variables that could redirect them."""

import os
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Self

import pytest

from infisical_config import ConfigError, load
from infisical_config.errors import UNTRUSTED
from infisical_config.route import Route
from tests import service
from tests.scripted import LOGIN, ScriptedServer, eventually, listing
from tests.vault import Vault
from tests.watching.test_watch_requests import FORBIDDEN
from tests.watching.watched import Watched

ELSEWHERE = "http://127.0.0.1:1"
ADDRESS = "https://secrets.example.com"
PROXY = "http://proxy.example.com:3128"


class Tunnel:
    """A proxy on loopback that leads each connection to the server that it names.

    Attributes:
        requests: the heads of the requests so far.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.requests.append(head.decode())
        host, port = head.split()[1].decode().split(":")
        with client, socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join(5)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def certificate_of_localhost(directory: Path, days: int = 30) -> Path:
    """Make a certificate of localhost, with its key, which nobody else has signed."""
    file = directory / "server.pem"
    subject = ("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", file)
    made = subprocess.run(
        ("openssl", "req", "-x509", "-days", str(days), *key, *subject),
        capture_output=True,
        check=True,
    )
    with file.open("ab") as stream:
        stream.write(made.stdout)
    return file


def _set_proxies(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for name in (each, each.upper()):
            monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(each, raising=False)


def test_plain_http_to_this_machine_takes_no_proxy(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would read the client secret."""
    monkeypatch.setenv("http_proxy", ELSEWHERE)
    assert load(directory=home).A == "value-of-a"


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": "proxy.example.com:3128"}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost, .example.com"}, ""),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "example.org"}, PROXY),
    ],
)
def test_the_proxy_is_that_of_the_environment(
    variables: dict[str, str], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_proxies(monkeypatch, **variables)
    assert Route.to(ADDRESS).proxy == proxy


@pytest.mark.parametrize(
    ("excepted", "proxy"),
    [("10.0.0.5", ""), ("10.0.0.0/8", ""), ("10.1.0.0/16", PROXY), ("10.0.0.0/99", PROXY)],
)
def test_no_proxy_may_name_a_network(
    excepted: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_proxies(monkeypatch, HTTPS_PROXY=PROXY, NO_PROXY=excepted)
    assert Route.to("https://10.0.0.5:8443").proxy == proxy


@pytest.mark.parametrize("scheme", ["https", "socks5"])
def test_a_proxy_of_another_kind_is_refused_without_its_password(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set_proxies(monkeypatch, ALL_PROXY=f"{scheme}://user:password-example@proxy.example.com")
    with pytest.raises(ConfigError) as failure:
        Route.to(ADDRESS)
    assert failure.value.code == "not_configured"
    assert f"{scheme}://" in str(failure.value)
    assert "password-example" not in str(failure.value)


def test_plain_http_goes_through_a_proxy_with_its_credential(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = server.address.replace("://", "://user:p%3Ass@")
    _set_proxies(monkeypatch, HTTP_PROXY=proxy)
    home = service.directory(tmp_path / "service", "http://infisical.example.com/base")
    assert load(directory=home, allow_http=True).A == "value-of-a"
    first, _ = server.seen
    base = "http://infisical.example.com/base"
    assert first.path == f"{base}/api/v1/auth/universal-auth/login"
    assert first.headers["proxy-authorization"] == f"Basic {b64encode(b'user:p:ss').decode()}"
    assert first.headers["host"] == "infisical.example.com"


def test_https_goes_through_a_tunnel_that_sees_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_of_localhost(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with (
        ScriptedServer(listed=[listing(A="1")], certificate=certificate) as server,
        Tunnel() as tunnel,
    ):
        _set_proxies(monkeypatch, HTTPS_PROXY=f"http://user:pass@127.0.0.1:{tunnel.port}")
        assert load(directory=service.directory(tmp_path / "service", server.address)).A == "1"
    (request,) = tunnel.requests  # one connection for both
    assert request.startswith(f"CONNECT {server.address.removeprefix('https://')} ")
    assert f"Proxy-Authorization: Basic {b64encode(b'user:pass').decode()}" in request
    assert len(server.seen) == 2
    assert not any("proxy-authorization" in seen.headers for seen in server.seen)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environments_own_authorities_are_trusted(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_of_localhost(tmp_path)
    monkeypatch.setenv(variable, str(certificate))
    with ScriptedServer(listed=[listing(A="1")], certificate=certificate) as server:
        assert load(directory=service.directory(tmp_path / "service", server.address)).A == "1"


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_a_directory_of_authorities_is_trusted(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_of_localhost(tmp_path)
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    command = ("openssl", "x509", "-noout", "-hash", "-in", certificate)
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (trusted / f"{name}.0").write_bytes(certificate.read_bytes())
    monkeypatch.setenv(variable, str(trusted))
    with ScriptedServer(listed=[listing(A="1")], certificate=certificate) as server:
        assert load(directory=service.directory(tmp_path / "service", server.address)).A == "1"


@pytest.mark.parametrize("bundle", ["", "/no/such/bundle.pem", "{other}"])
def test_a_server_that_is_not_trusted_gets_no_request(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = certificate_of_localhost(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle.format(other=other))
    with (
        ScriptedServer(certificate=certificate_of_localhost(tmp_path)) as server,
        pytest.raises(ConfigError) as failure,
    ):
        load(directory=service.directory(tmp_path / "service", server.address), timeout=1)
    assert (failure.value.code, server.seen) == ("unreachable", [])


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_that_is_not_trusted_is_named_and_not_tried_again(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv(variable, str(certificate_of_localhost(tmp_path / "other")))
    monkeypatch.setattr("infisical_config.retrying.time.sleep", pytest.fail)
    with (
        ScriptedServer(certificate=certificate_of_localhost(tmp_path)) as server,
        pytest.raises(ConfigError) as failure,
    ):
        load(directory=service.directory(tmp_path / "service", server.address))
    assert failure.value.code == "unreachable"
    assert str(failure.value) == UNTRUSTED.format(
        address=server.address, why="self-signed certificate", variable=variable
    )


def test_certifi_counts_only_where_the_system_has_no_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, theirs, empty = (tmp_path / name for name in ("system", "certifi", "empty"))
    for each in (system, theirs, empty):
        each.mkdir()
    certifi = ModuleType("certifi")
    certifi.where = lambda: str(theirs / "server.pem")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "certifi", certifi)
    monkeypatch.setenv("SSL_CERT_DIR", str(empty))
    with ScriptedServer(
        listed=[listing(A="1")], certificate=certificate_of_localhost(theirs)
    ) as server:
        home = service.directory(tmp_path / "service", server.address)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate_of_localhost(system)))
        with pytest.raises(ConfigError) as failure:
            load(directory=home, timeout=1)
        assert failure.value.code == "unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", str(empty / "missing.pem"))
        assert load(directory=home).A == "1"


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
