"""Test that a server works, which is more than that it answers."""

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
def test_a_server_that_is_asked_in_vain_is_asked_once(answer: httpx.Response | Exception) -> None:
    server = Server(answer)
    assert not server.client().answers()
    assert len(server.requests) == 1
