"""Test the wording of messages about answers of Infisical. Other tests assert codes and facts."""

import pytest

from infisical_iac.api.client import api_error


@pytest.mark.parametrize(
    ("status", "error", "message", "sentence"),
    [
        (
            401,
            "UnauthorizedError",
            "Invalid credentials",
            "GET /api/x was answered 401 UnauthorizedError: Invalid credentials; check the "
            "credentials first: three failed logins lock the identity for five minutes",
        ),
        (
            429,
            "RateLimitExceeded",
            "Rate limit exceeded",
            "GET /api/x was answered 429 RateLimitExceeded: Rate limit exceeded; wait a minute, "
            "then run again: there were too many requests",
        ),
        (
            500,
            "InternalServerError",
            "Something went wrong",
            "GET /api/x was answered 500 InternalServerError: Something went wrong; read the log "
            "of Infisical; its database may be down",
        ),
        (
            200,
            "NotInfisical",
            "the answer is not a JSON object",
            "GET /api/x was answered 200 NotInfisical: the answer is not a JSON object; check that "
            "Infisical, and nothing else, listens there",
        ),
        (
            400,
            "BadRequest",
            "There is no such folder.",
            "GET /api/x was answered 400 BadRequest: There is no such folder",
        ),
    ],
)
def test_wording_of_refused_requests(status: int, error: str, message: str, sentence: str) -> None:
    assert str(api_error(status, error, message, "GET", "/api/x")) == sentence
