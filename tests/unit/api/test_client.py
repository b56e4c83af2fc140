"""Test how the client sends, retries and fails."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import stamina

from infisical_iac.api import login
from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, Unreachable, UserError

SECRET = "fake-client-secret"


@pytest.fixture(autouse=True)
def _without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


class Server:
    """A server that gives its answers in turn, repeats the last one, and records requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def client(self, token: str | None = None) -> Client:
        return Client("http://infisical:8080", httpx.MockTransport(self.handle), token)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def refusal(status: int, error: str, message: Any) -> httpx.Response:
    body = {"reqId": "r", "statusCode": status, "message": message, "error": error}
    return httpx.Response(status, json=body)


OK = httpx.Response(200, json={"ok": True})
_LOCKED = "This identity is temporarily locked"
BROKEN = refusal(500, "InternalServerError", "Something went wrong")


def test_the_token_is_sent_and_never_shown() -> None:
    server = Server(OK)
    client = server.client("fake-token")
    client.get("/api/x")
    assert server.requests[0].headers["authorization"] == "Bearer fake-token"
    assert "fake-token" not in repr(client)
    assert "http://infisical:8080" in repr(client)
    assert "authorized=True" in repr(client)


def test_a_derived_client_has_a_token_that_the_first_client_lacks() -> None:
    server = Server(OK)
    client = server.client()
    client.with_token("fake-token").get("/api/x")
    client.get("/api/x")
    assert [request.headers.get("authorization") for request in server.requests] == [
        "Bearer fake-token",
        None,
    ]


@pytest.mark.parametrize(
    "failure",
    [BROKEN, refusal(429, "RateLimitExceeded", "slow down"), httpx.ConnectError("refused")],
)
def test_a_read_is_repeated_after_an_outage_or_a_rate_limit(
    failure: httpx.Response | Exception,
) -> None:
    server = Server(failure, OK)
    assert server.client().get("/api/x") == {"ok": True}
    assert len(server.requests) == 2


def test_reads_give_up_after_a_bounded_number_of_tries() -> None:
    server = Server(httpx.ReadTimeout("hangs"))
    with pytest.raises(Unreachable, match=r"does not answer GET /api/x \(ReadTimeout\)"):
        server.client().get("/api/x")
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_never_tried_again(status: int) -> None:
    server = Server(refusal(status, "Some", "no"))
    with pytest.raises(ApiError) as refused:
        server.client().get("/api/x")
    assert (refused.value.status, len(server.requests)) == (status, 1)


def test_a_validation_failure_names_every_complaint() -> None:
    issues = [
        {"path": ["slug"], "message": "too short"},
        {"path": ["secrets", 0, "secretKey"], "message": "no colon"},
        {"path": [], "message": "TTL above max TTL"},
    ]
    with pytest.raises(ApiError) as refused:
        Server(refusal(422, "ValidationFailure", issues)).client().post("/api/x", json={})
    assert refused.value.message.split("; ") == [
        "slug: too short",
        "secrets.0.secretKey: no colon",
        "TTL above max TTL",
    ]


@pytest.mark.parametrize(
    ("status", "error", "message", "code", "remedy"),
    [
        (403, "TokenError", "The provided access token is malformed.", "token", "log in again"),
        (
            401,
            "UnauthorizedError",
            "Identity access token exceeded max age",
            "token",
            "log in again",
        ),
        (401, "UnauthorizedError", _LOCKED, "identity_locked", "wait five minutes"),
        (401, "UnauthorizedError", "Invalid credentials", "credentials", "five minutes"),
        (400, "BadRequest", "Failed due to plan restriction. Upgrade.", "license", "setting"),
        (403, "PermissionDenied", "You are not allowed", "permission", "role admin"),
        (500, "InternalServerError", "Something went wrong", "internal", "log of Infisical"),
        (429, "RateLimitExceeded", "Rate limit exceeded", "rate_limit", "wait a minute"),
    ],
)
def test_a_known_refusal_has_a_code_and_a_remedy(
    status: int, error: str, message: str, code: str, remedy: str
) -> None:
    with pytest.raises(ApiError) as refused:
        Server(refusal(status, error, message)).client().post("/api/x")
    found = refused.value
    assert (found.method, found.path, found.status, found.error) == (
        "POST",
        "/api/x",
        status,
        error,
    )
    assert found.code == f"api.{code}"
    assert remedy in found.split()[1]


def test_an_unknown_refusal_has_the_code_of_its_class() -> None:
    with pytest.raises(ApiError) as refused:
        Server(refusal(400, "BadRequest", "no such folder")).client().post("/api/x")
    assert refused.value.code == "api"


def test_a_secret_that_was_sent_is_in_no_message() -> None:
    server = Server(refusal(400, "BadRequest", f"the value {SECRET} is unknown"))
    bodies = [{"clientSecret": SECRET}, {"secrets": [{"secretValue": SECRET}]}]
    for body in bodies:
        with pytest.raises(ApiError) as refused:
            server.client().post("/api/x", json=body)
        assert SECRET not in str(refused.value) + repr(refused.value) + refused.value.message


@pytest.mark.parametrize("content", [b"<html>a proxy</html>", b"[]", b"7"])
def test_a_success_without_a_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        Server(httpx.Response(200, content=content)).client().get("/api/x")
    assert refused.value.code == "api.not_infisical"


def test_a_redirect_is_refused_and_not_followed() -> None:
    """A redirect to plain HTTP would send the credentials unencrypted."""
    there = {"location": "http://secrets.example.com/api/v1/auth/universal-auth/login"}
    server = Server(httpx.Response(308, headers=there))
    with pytest.raises(ApiError):
        login.universal(server.client(), "fake-id", "fake-secret")
    assert [request.url.host for request in server.requests] == ["infisical"]


def test_an_error_page_that_is_not_json_is_not_quoted() -> None:
    with pytest.raises(ApiError) as refused:
        Server(httpx.Response(502, content=b"<html>inside</html>")).client().post("/api/x")
    assert refused.value.status == 502
    assert "inside" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b'""'])
def test_an_empty_success_is_an_empty_answer(content: bytes) -> None:
    assert Server(httpx.Response(200, content=content)).client().delete("/api/x") == {}


def test_a_login_of_a_machine_is_repeated_after_a_server_error() -> None:
    server = Server(BROKEN, httpx.Response(200, json={"accessToken": "fake-token"}), OK)
    login.universal(server.client(), "id", SECRET).get("/api/x")
    assert json.loads(server.requests[1].content) == {"clientId": "id", "clientSecret": SECRET}
    assert server.requests[2].headers["authorization"] == "Bearer fake-token"


def test_a_wrong_client_secret_is_tried_once() -> None:
    server = Server(refusal(401, "UnauthorizedError", "Invalid credentials"))
    with pytest.raises(ApiError):
        login.universal(server.client(), "id", SECRET)
    assert len(server.requests) == 1


def _login_server(organizations: list[str], *, second_factor: bool = False) -> Callable[..., Any]:
    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/api/v3/auth/login":
            return httpx.Response(200, json={"accessToken": "fake-first"})
        assert request.headers["authorization"] == "Bearer fake-first"
        if path == "/api/v1/organization":
            listed = [{"id": f"id-{name}", "name": name} for name in organizations]
            return httpx.Response(200, json={"organizations": listed})
        chosen = json.loads(request.content)["organizationId"]
        body = {"token": f"fake-{chosen}", "isMfaEnabled": second_factor}
        return httpx.Response(200, json=body)

    return handle


@pytest.mark.parametrize(("asked", "got"), [(None, "fake-id-one"), ("id-two", "fake-id-two")])
def test_a_person_logs_in_to_the_organization(asked: str | None, got: str) -> None:
    organizations = ["one"] if asked is None else ["one", "two"]
    client = Client("http://fake", httpx.MockTransport(_login_server(organizations)))
    person = login.password(client, "admin@example.com", "fake-password", asked)
    assert person._token == got


def test_a_person_in_several_organizations_must_name_one() -> None:
    client = Client("http://fake", httpx.MockTransport(_login_server(["two", "one"])))
    with pytest.raises(UserError, match="is in one, two"):
        login.password(client, "admin@example.com", "fake-password")


def test_a_login_that_needs_a_second_factor_is_refused() -> None:
    handle = _login_server(["one"], second_factor=True)
    client = Client("http://fake", httpx.MockTransport(handle))
    with pytest.raises(UserError, match="second factor"):
        login.password(client, "admin@example.com", "fake-password")
