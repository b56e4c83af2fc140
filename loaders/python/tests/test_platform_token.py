"""Test the login of an identity by tokens of its platform."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from infisical_config import Cache, ConfigError, load
from infisical_config.__main__ import child_environment
from infisical_config.doctor import doctor
from infisical_config.errors import LOGIN_FAILED, TOKEN_REFUSED
from infisical_config.loading import connect
from infisical_config.platform_token import Platform, find
from infisical_config.starting import Start
from tests.scripted import LOGIN, ScriptedServer, listing, refusal
from tests.vectors import VECTORS, cases

_IDENTITY = "INFISICAL_MACHINE_IDENTITY_ID"
_DENIED = refusal(401, "Access denied: OIDC audience not allowed.", "UnauthorizedError")
_FAILED = refusal(500, "Something went wrong", "InternalServerError")
_ENDED = refusal(401, "expired", "TokenError")
_GITHUB = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


def test_a_place_does_not_show_its_token() -> None:
    """Reports of errors hold the variables of a function, as `repr` shows them."""
    shown = repr(Platform("id", "infisical", jwt="jwt-example", bearer="bearer-example"))
    assert "id" in shown
    assert "example" not in shown


@cases("platforms")
def test_the_token_is_where_the_vectors_say(case: dict[str, Any]) -> None:
    want = case["want"]
    if want and "message" in want:
        with pytest.raises(ConfigError) as failure:
            find(case["environ"])
        assert (failure.value.code, str(failure.value)) == ("not_configured", want["message"])
    else:
        assert find(case["environ"]) == (want and Platform(**want))


def test_the_messages_about_a_token_equal_the_shared_ones() -> None:
    assert VECTORS["tokenRefused"] == TOKEN_REFUSED
    assert VECTORS["tokenLoginFailed"] == LOGIN_FAILED


@pytest.fixture
def infisical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedServer]:
    """A server, and the environment of a job that logs in there by a token."""
    with ScriptedServer(listed=[listing(A="1")]) as server:
        for name in ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", *_GITHUB):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(_IDENTITY, "identity-example")
        monkeypatch.setenv("NODE_ENV", "production")
        monkeypatch.setenv("INFISICAL_DOMAIN", server.address)
        monkeypatch.setenv("INFISICAL_PROJECT_ID", "00000000-0000-4000-8000-000000000001")
        monkeypatch.chdir(tmp_path)
        yield server


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INFISICAL_JWT", "token-of-the-platform")
    return "token-of-the-platform"


def _logins(server: ScriptedServer) -> list[tuple[str, Any]]:
    seen = [each for each in server.seen if each.kind == "login"]
    return [(each.path, json.loads(each.body)) for each in seen]


def test_an_identity_logs_in_by_a_token_of_a_variable(
    infisical: ScriptedServer, token: str
) -> None:
    assert load()["A"] == "1"
    body = {"identityId": "identity-example", "jwt": token}
    assert _logins(infisical) == [("/api/v1/auth/oidc-auth/login", body)]


def test_a_file_is_read_again_at_each_login(
    infisical: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    monkeypatch.setenv("INFISICAL_JWT_FILE", str(file))
    infisical.scripts["list"] = [listing(A="1"), _ENDED, listing(A="2")]
    start = Start()
    reader = connect(start, start.place())
    reader.read(5)
    file.write_text("second")
    assert reader.read(5) == {"A": "2"}
    reader.close()
    assert [body["jwt"] for _, body in _logins(infisical)] == ["first", "second"]


@pytest.mark.usefixtures("token")
def test_a_login_by_tokens_is_renewed_before_it_ends(
    infisical: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    infisical.scripts["login"] = [{**LOGIN, "json": {**LOGIN["json"], "expiresIn": 100}}]
    start = Start()
    reader = connect(start, start.place())
    reader.read(5)
    reader.read(5)
    assert infisical.count("login") == 1
    later = time.monotonic() + 81
    monkeypatch.setattr("infisical_config.fetching.time.monotonic", lambda: later)
    reader.read(5)
    reader.close()
    assert infisical.count("login") == 2


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    answer = {"status": 200, "json": {"count": 1, "value": "token-of-github"}}
    with ScriptedServer(listed=[answer]) as server:
        monkeypatch.setenv(_GITHUB[0], f"{server.address}/token?api-version=2.0")
        monkeypatch.setenv(_GITHUB[1], "bearer-example")
        yield server


def test_github_is_asked_for_a_token_of_the_audience(
    infisical: ScriptedServer, github: ScriptedServer
) -> None:
    load()
    (asked,) = github.seen
    assert asked.path == "/token?api-version=2.0&audience=infisical"
    assert asked.headers["authorization"] == "bearer bearer-example"
    assert [body["jwt"] for _, body in _logins(infisical)] == ["token-of-github"]


def test_a_github_that_gives_no_token_is_reported_and_nothing_is_sent_to_infisical(
    infisical: ScriptedServer, github: ScriptedServer
) -> None:
    github.scripts["list"] = [{"status": 403, "json": {}}]
    with pytest.raises(ConfigError, match=r"\(403\)") as failure:
        load()
    assert failure.value.code == "not_configured"
    assert infisical.seen == []


@pytest.mark.usefixtures("infisical")
def test_a_github_that_hangs_takes_no_longer_than_the_start_may(github: ScriptedServer) -> None:
    github.scripts["list"] = [{"stall": "headers"}]
    began = time.monotonic()
    with pytest.raises(ConfigError) as failure:
        load(timeout=0.5)
    assert failure.value.code == "deadline"
    assert time.monotonic() - began < 5


def test_a_refused_token_is_reported_with_the_servers_reason_and_without_the_token(
    infisical: ScriptedServer, token: str
) -> None:
    infisical.scripts["login"] = [_DENIED]
    with pytest.raises(ConfigError, match="OIDC audience not allowed") as failure:
        load()
    assert failure.value.code == "refused"
    assert token not in str(failure.value)
    assert infisical.count("login") == 1


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    ("step", "answer", "names_issuer"),
    [
        ("login", _FAILED, True),
        ("login", {"status": 503, "json": {}}, False),
        ("list", _FAILED, False),
    ],
)
def test_a_server_that_fails_at_a_login_by_a_token_is_reported_with_the_issuer_as_a_cause(
    infisical: ScriptedServer,
    step: Literal["login", "list"],
    answer: dict[str, Any],
    *,
    names_issuer: bool,
) -> None:
    infisical.scripts[step] = [answer]
    with pytest.raises(ConfigError) as failure:
        load(timeout=0.4)  # too short for another attempt
    assert failure.value.code == "server"
    assert ("issuer" in str(failure.value)) == names_issuer


@pytest.mark.usefixtures("token")
def test_an_identity_without_such_a_login_is_refused(infisical: ScriptedServer) -> None:
    infisical.scripts["login"] = [refusal(404, "OIDC auth method not found", "NotFound")]
    with pytest.raises(ConfigError) as failure:
        load()
    assert failure.value.code == "refused"


@pytest.mark.usefixtures("infisical")
@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_file_without_a_token_is_reported(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("INFISICAL_JWT_FILE", str(file))
    with pytest.raises(ConfigError, match="INFISICAL_JWT_FILE") as failure:
        load()
    assert failure.value.code == "not_configured"


@pytest.mark.usefixtures("token", "infisical")
def test_the_cache_is_not_used_since_no_client_secret_could_seal_it(tmp_path: Path) -> None:
    warnings: list[str] = []
    cache = Cache(tmp_path / "cache.json")
    load(cache=cache, warn=warnings.append)
    assert [each for each in warnings if "cache.json" in each]
    assert not Path(cache.file).exists()


@pytest.mark.usefixtures("token", "infisical")
def test_a_program_of_the_runner_does_not_get_the_token() -> None:
    child = child_environment()
    assert [name for name in child if "JWT" in name or name == _IDENTITY] == []
    assert child["A"] == "1"


@pytest.mark.usefixtures("token", "infisical")
def test_doctor_names_the_identity_without_its_token(token: str) -> None:
    lines: list[str] = []
    assert doctor(os.environ, lines.append) == 0
    assert [each for each in lines if "access" in each and "identity-example" in each]
    assert token not in str(lines)
