"""Test which requests are repeated, and after which wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from infisical_iac.api.client import Client
from infisical_iac.core.errors import ApiError, Unreachable
from tests.unit.api.test_client import BROKEN, OK, Server, refusal

_REPEATABLE = ("get", "post_again")
_WRITES = ("post", "patch", "delete")
_ATTEMPTS = 4


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each sleep, which is skipped."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def _ask(client: Client, method: str) -> dict[str, Any]:
    body: dict[str, Any] = {} if method == "get" else {"json": {}}
    answer: dict[str, Any] = getattr(client, method)("/api/x", **body)
    return answer


def _rate_limit(retry_after: str | None = None) -> httpx.Response:
    refused = refusal(429, "RateLimitExceeded", "Rate limit exceeded")
    if retry_after is not None:
        refused.headers["Retry-After"] = retry_after
    return refused


def _date(**ahead: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)


@pytest.mark.parametrize("method", [*_REPEATABLE, *_WRITES])
def test_a_rate_limited_request_is_repeated_after_the_time_in_retry_after(
    method: str, naps: list[float]
) -> None:
    server = Server(_rate_limit("7"), _rate_limit("0"), OK)
    assert _ask(server.client(), method) == {"ok": True}
    assert (len(server.requests), naps) == (3, [7.0, 0.0])


def test_retry_after_may_be_a_date(naps: list[float]) -> None:
    _ask(Server(_rate_limit(_date(seconds=20)), _rate_limit(_date(hours=-1)), OK).client(), "get")
    assert 18 <= naps[0] <= 20
    assert naps[1] == 0


@pytest.mark.parametrize(
    "far", ["3600", "9" * 400, _date(days=2)], ids=["an hour", "a number", "a date"]
)
def test_the_wait_before_a_repeat_is_at_most_30_seconds(far: str, naps: list[float]) -> None:
    _ask(Server(_rate_limit(far), OK).client(), "post")
    assert naps == [30.0]


@pytest.mark.parametrize("given", [None, "", "soon", "-5", "1.5", "1 Jan 2026 10:00"])
def test_the_wait_is_short_without_a_readable_retry_after(
    given: str | None, naps: list[float]
) -> None:
    _ask(Server(_rate_limit(given), OK).client(), "post")
    assert 0 < naps[0] <= 3


@pytest.mark.parametrize("method", [*_REPEATABLE, *_WRITES])
def test_a_request_that_stays_rate_limited_fails_with_a_remedy(method: str) -> None:
    server = Server(_rate_limit("1"))
    with pytest.raises(ApiError) as refused:
        _ask(server.client(), method)
    assert (refused.value.status, refused.value.code) == (429, "api.rate_limit")
    assert "wait a minute" in refused.value.split()[1]
    assert len(server.requests) == _ATTEMPTS


_DOUBTFUL: dict[str, httpx.Response | Exception] = {
    "500": BROKEN,
    "502": httpx.Response(502, content=b"<html>a proxy</html>"),
    "503 with a time": httpx.Response(503, headers={"Retry-After": "1"}),
    "no connection": httpx.ConnectError("refused"),
    "no answer in time": httpx.ReadTimeout("hangs"),
    "not sent in time": httpx.WriteTimeout("hangs"),
    "cut": httpx.RemoteProtocolError("peer closed connection"),
    "reset": httpx.ReadError("connection reset"),
    "undecodable": httpx.DecodingError("no gzip"),
}


@pytest.mark.parametrize("failure", _DOUBTFUL)
@pytest.mark.parametrize("method", _WRITES)
def test_a_write_that_may_have_been_processed_is_never_sent_twice(
    method: str, failure: str
) -> None:
    server = Server(_DOUBTFUL[failure], OK)
    with pytest.raises((ApiError, Unreachable)):
        _ask(server.client(), method)
    assert len(server.requests) == 1


@pytest.mark.parametrize("failure", _DOUBTFUL)
@pytest.mark.parametrize("method", _REPEATABLE)
def test_a_read_or_a_login_is_repeated_after_a_temporary_failure(method: str, failure: str) -> None:
    server = Server(_DOUBTFUL[failure], OK)
    assert _ask(server.client(), method) == {"ok": True}
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", [*_REPEATABLE, *_WRITES])
def test_a_401_is_never_repeated_because_the_third_locks_the_identity(
    method: str, naps: list[float]
) -> None:
    answer = refusal(401, "UnauthorizedError", "Invalid credentials")
    answer.headers["Retry-After"] = "1"
    server = Server(answer, OK)
    with pytest.raises(ApiError) as refused:
        _ask(server.client(), method)
    assert refused.value.code == "api.credentials"
    assert (len(server.requests), naps) == (1, [])
