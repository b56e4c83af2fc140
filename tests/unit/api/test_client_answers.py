"""Test that a server counts as working only if its API and its database answer."""

import httpx
import pytest

from tests.unit.api.test_client import BROKEN, OK, Server, refusal

_UNKNOWN = refusal(401, "UnauthorizedError", "Invalid credentials")
_REFUSED = httpx.ConnectError("refused")
_HANGS = httpx.ReadTimeout("timed out")


def test_a_server_works_if_its_database_knows_no_such_identity() -> None:
    server = Server(OK, _UNKNOWN)
    assert server.client().answers()
    assert [request.url.path for request in server.requests] == [
        "/api/status",
        "/api/v1/auth/universal-auth/login",
    ]


@pytest.mark.parametrize("answer", [BROKEN, _HANGS], ids=["database down", "database hangs"])
def test_a_server_without_its_database_does_not_work(answer: httpx.Response | Exception) -> None:
    assert not Server(OK, answer).client().answers()


@pytest.mark.parametrize("answer", [_REFUSED, _HANGS, BROKEN], ids=["off", "no Redis", "error"])
def test_a_failed_request_for_the_status_is_the_only_request(
    answer: httpx.Response | Exception,
) -> None:
    server = Server(answer)
    assert not server.client().answers()
    assert len(server.requests) == 1
