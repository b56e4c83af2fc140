"""Test what is refused with the SDK, and what differs from requests by HTTP."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infisical_config import ConfigError, load, watch
from tests import service
from tests.scripted import REFUSED, ScriptedServer, complete, listing
from tests.test_route import certificate_of_localhost


def _refusal(**options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as failure:
        load(**{"client": "sdk", **options})
    return failure.value


def test_without_its_package_the_start_says_what_to_install(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "infisical_sdk", None)
    error = _refusal(directory=home)
    assert (error.code, server.seen) == ("not_configured", [])
    assert "infisical-config[sdk]" in str(error)


def test_a_platforms_token_is_refused(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in service.CREDENTIAL:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INFISICAL_MACHINE_IDENTITY_ID", "identity-example")
    monkeypatch.setenv("INFISICAL_JWT", "token-example")
    assert _refusal(directory=home).code == "not_configured"
    assert server.seen == []


def test_a_watch_and_an_unknown_client_are_refused(home: Path, server: ScriptedServer) -> None:
    with pytest.raises(ConfigError, match="ETag"):
        watch(client="sdk", directory=home)
    assert "'axios'" in str(_refusal(directory=home, client="axios"))
    assert server.seen == []


def test_secrets_are_requested_unexpanded_and_with_imports(
    home: Path, server: ScriptedServer
) -> None:
    server.scripts["list"] = [complete(listing(A="${B}"))]
    assert load(directory=home, client="sdk")["A"] == "${B}"
    path = server.seen[-1].path
    for each in ("/api/v3/secrets/raw?", "expandSecretReferences=false", "include_imports=true"):
        assert each in path


def test_a_refused_credential_is_noted(home: Path, server: ScriptedServer) -> None:
    server.scripts["login"] = [REFUSED]
    codes = [_refusal(directory=home).code for _ in range(2)]
    assert (codes, server.count("login")) == (["refused", "refused_before"], 1)


def test_a_certificate_that_is_not_trusted_is_named_before_the_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(certificate=certificate_of_localhost(tmp_path)) as server:
        error = _refusal(directory=service.directory(tmp_path / "service", server.address))
    assert "SSL_CERT_FILE" in str(error)
    assert server.seen == []


def test_no_proxy_sees_the_client_secret_on_the_way_to_loopback(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scripts["list"] = [complete(listing(A="1"))]
    with ScriptedServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address)
        assert load(directory=home, client="sdk")["A"] == "1"
    assert proxy.seen == []


def test_a_netrc_does_not_replace_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificate_of_localhost(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    lists = [complete(listing(A="1"))]
    with ScriptedServer(listed=lists, certificate=certificate) as server:
        home = service.directory(tmp_path / "service", server.address)
        assert load(directory=home, client="sdk")["A"] == "1"
    assert server.seen[1].headers["authorization"] == "Bearer token-example"


def test_no_request_is_made_after_the_deadline(home: Path, server: ScriptedServer) -> None:
    server.scripts["login"] = [{"reset": True}]
    assert _refusal(directory=home, timeout=0.3).code == "deadline"
    requests = len(server.seen)
    time.sleep(1.5)  # the SDK waits for at most 1.2 s before it tries again
    assert len(server.seen) == requests
