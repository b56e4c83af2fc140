"""Test the agent's client of the API, and the logins of the host, on a server of the loopback."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from infisical_iac.agent import api, login
from infisical_iac.agent.answers import AnswerError, NoAnswer
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.runner import Failure, explain
from tests.ports import free_port
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.agent.loopback import serve_api
from tests.unit.api.test_client import BROKEN, OK, Server, refusal

_REPEATABLE, _WRITES = ("get", "post_again"), ("post", "patch", "delete")
_GONE = httpx.ConnectError("gone")
_LOGIN = httpx.Response(200, json={"accessToken": "fake-token"})


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep, which is skipped."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@contextmanager
def _serve(*answers: httpx.Response | Exception) -> Iterator[tuple[Server, LoopbackClient]]:
    server = Server(*answers)
    with serve_api(server.handle) as port:
        yield server, LoopbackClient(port)


def _ask(client: LoopbackClient, method: str) -> dict[str, Any]:
    body: dict[str, Any] = {} if method == "get" else {"json": {"a": 1}}
    answer: dict[str, Any] = getattr(client, method)("/api/x", **body)
    return answer


def _rate_limit(retry_after: str) -> httpx.Response:
    refused = refusal(429, "RateLimitExceeded", "Rate limit exceeded")
    refused.headers["Retry-After"] = retry_after
    return refused


def test_a_request_has_its_query_body_and_token() -> None:
    with _serve(OK) as (server, client):
        client.with_token("fake-token").get("/api/x", params={"path": "/a b", "limit": 100})
        client.patch("/api/y", json={"name": "ä"})
    read, written = server.requests
    assert (read.url.params["path"], read.url.params["limit"]) == ("/a b", "100")
    assert read.headers["authorization"] == "Bearer fake-token"
    assert written.content == b'{"name": "\\u00e4"}'
    assert "authorization" not in written.headers
    assert "fake-token" not in repr(client.with_token("fake-token"))


def test_a_patient_client_keeps_its_token_and_waits_for_ten_minutes() -> None:
    patient = LoopbackClient(8080, "fake-token").with_patience()
    assert (patient.token, patient.seconds) == ("fake-token", 600.0)


@pytest.mark.parametrize("method", _REPEATABLE)
@pytest.mark.parametrize("failure", [BROKEN, _GONE])
def test_a_read_is_repeated_after_an_error_of_the_server(
    method: str, failure: httpx.Response | Exception
) -> None:
    with _serve(failure, failure, failure, OK) as (_, client):
        assert _ask(client, method) == {"ok": True}
    with _serve(failure) as (server, client), pytest.raises((AnswerError, NoAnswer)):
        _ask(client, method)
    assert len(server.requests) == 4


@pytest.mark.parametrize("method", _WRITES)
@pytest.mark.parametrize("failure", [BROKEN, _GONE])
def test_a_write_that_may_have_been_processed_is_not_repeated(
    method: str, failure: httpx.Response | Exception
) -> None:
    with _serve(failure, OK) as (server, client), pytest.raises((AnswerError, NoAnswer)):
        _ask(client, method)
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", [*_REPEATABLE, *_WRITES])
def test_a_rate_limited_request_is_repeated_after_the_time_in_retry_after(
    method: str, naps: list[float]
) -> None:
    with _serve(_rate_limit("7"), _rate_limit("0"), OK) as (server, client):
        assert _ask(client, method) == {"ok": True}
    assert (len(server.requests), naps) == (3, [7.0, 0.0])
    with _serve(_rate_limit("1")) as (server, client), pytest.raises(AnswerError):
        _ask(client, method)
    assert len(server.requests) == 8


def test_a_refusal_has_the_status_and_no_secret_of_the_request() -> None:
    refused = refusal(400, "BadRequest", "client secret obviously-fake is unknown.")
    with _serve(refused) as (_, client), pytest.raises(AnswerError) as failed:
        client.post("/api/x", json=[{"clientSecret": "obviously-fake"}])
    assert failed.value.status == 400
    assert explain(failed.value) == (
        "POST /api/x was answered 400 BadRequest: client secret *** is unknown"
    )
    assert failed.value.args[0].code == "api"


def test_a_missing_object_is_none_and_other_refusals_are_raised() -> None:
    with _serve(refusal(404, "NotFound", "no such thing")) as (_, client):
        assert client.find("/api/x") is None
        with pytest.raises(AnswerError):
            client.find("/api/x", absent=(403,))


@pytest.mark.parametrize("text", ["<html>", "[]", "3"])
def test_an_answer_that_is_no_json_object_is_refused(text: str) -> None:
    with _serve(httpx.Response(200, text=text)) as (_, client):
        with pytest.raises(AnswerError) as failed:
            client.get("/api/x")
        assert failed.value.args[0].code == "api.not_infisical"
    with _serve(httpx.Response(200)) as (_, client):
        assert client.get("/api/x") == {}


def test_a_server_that_is_gone_is_named_with_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with pytest.raises(NoAnswer) as failed:
        LoopbackClient(port).get("/api/x")
    assert failed.value.args[0].code == "unreachable"
    assert f"http://127.0.0.1:{port}" in explain(failed.value)


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with _serve(OK) as (_, client):
        assert client.get("/api/x") == {"ok": True}


@pytest.mark.parametrize(
    ("answers", "works"),
    [
        ((OK, refusal(401, "UnauthorizedError", "Invalid credentials")), True),
        ((OK, BROKEN), False),
        ((_GONE,), False),
    ],
)
def test_a_server_works_if_it_reaches_redis_and_its_database(
    answers: tuple[httpx.Response | Exception, ...], works: bool
) -> None:
    with _serve(*answers) as (_, client):
        assert client.answers() is works


def test_results_of_parallel_calls_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_MOST_AT_ONCE", 3)
    assert api.gather_by("abc", str.upper) == {"a": "A", "b": "B", "c": "C"}


_DEPLOYER = "# client secret 1\nINFISICAL_CLIENT_ID=c\nINFISICAL_CLIENT_SECRET=obviously-fake\n"


def test_the_deployer_logs_in_with_its_file(tmp_path: Any) -> None:
    host = FakeRunner(tmp_path)
    host.write(login.DEPLOYER_FILE, _DEPLOYER)
    with _serve(_LOGIN) as (server, client):
        assert login.deployer(host, client.port).token == "fake-token"
    (sent,) = server.requests
    assert b'"clientId": "c"' in sent.content


@pytest.mark.parametrize("text", ["", _DEPLOYER])
def test_a_refused_or_missing_deployer_has_no_login(tmp_path: Any, text: str) -> None:
    host = FakeRunner(tmp_path)
    host.write(login.DEPLOYER_FILE, text)
    refused = refusal(401, "UnauthorizedError", "Invalid credentials")
    with _serve(refused) as (server, client), pytest.raises(login.NoLogin) as failed:
        login.deployer(host, client.port)
    found: Failure = failed.value.args[0]
    assert found.code == "not_bootstrapped"
    assert login.DEPLOYER_FILE in found.message
    assert "obviously-fake" not in found.message
    assert len(server.requests) == (1 if text else 0)


@pytest.mark.parametrize("organizations", [1, 2])
def test_the_administrator_logs_in_to_its_only_organization(
    tmp_path: Any, organizations: int
) -> None:
    host = FakeRunner(tmp_path)
    host.write(
        login.ADMIN_FILE,
        "INFISICAL_ADMIN_EMAIL=ada@example.com\nINFISICAL_ADMIN_PASSWORD=obviously-fake\n",
    )
    listed = [{"id": f"o{each}", "name": f"name {each}"} for each in range(organizations)]
    found = httpx.Response(200, json={"organizations": listed})
    selected = httpx.Response(200, json={"token": "fake-token-of-o0"})
    with _serve(_LOGIN, found, selected) as (_, client):
        if organizations == 1:
            assert login.administrator(host, client.port).token == "fake-token-of-o0"
            return
        with pytest.raises(RuntimeError) as failed:
            login.administrator(host, client.port)
    assert "name 0, name 1" in explain(failed.value)


def test_an_administrator_with_another_password_has_no_login(tmp_path: Any) -> None:
    host = FakeRunner(tmp_path)
    host.write(
        login.ADMIN_FILE,
        "INFISICAL_ADMIN_EMAIL=ada@example.com\nINFISICAL_ADMIN_PASSWORD=obviously-fake\n",
    )
    with (
        _serve(refusal(400, "BadRequest", "Incorrect password")) as (_, client),
        pytest.raises(login.NoLogin) as failed,
    ):
        login.administrator(host, client.port)
    assert "ada@example.com" in explain(failed.value)
