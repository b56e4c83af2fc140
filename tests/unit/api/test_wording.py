"""Test the wording of messages about answers of Infisical. Other tests assert codes and facts."""

import json

import pytest

from infisical_iac.agent.answers import explain_error, read_error
from infisical_iac.api.rate_limits import SECRETS, RateLimiter


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
            "of Infisical, whose database may be down",
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
    assert explain_error(status, error, message, "GET", "/api/x").sentence == sentence


@pytest.mark.parametrize(
    ("sent", "issuer"),
    [
        ({"oidcDiscoveryUrl": "https://issuer.example.com"}, "https://issuer.example.com"),
        ({"identityId": "id", "jwt": "token-example"}, "the issuer of the token"),
    ],
)
def test_wording_of_a_failure_that_an_issuer_may_cause(sent: dict[str, str], issuer: str) -> None:
    body = {"error": "InternalServerError", "message": "Something went wrong"}
    path = "/api/v1/auth/oidc-auth/login"
    failed = read_error(500, "", None, json.dumps(body).encode(), "POST", path, sent=sent)
    assert failed.code == "api.issuer"
    assert failed.sentence == (
        f"POST {path} was answered 500 InternalServerError: Something went wrong; check that "
        f"Infisical can resolve and reach {issuer}, and that a token has a subject and an "
        "audience; else read the log of Infisical, whose database may be down"
    )


def test_notes_on_rate_limits_are_sentences() -> None:
    notes: list[str] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    limiter = RateLimiter(window=60, clock=lambda: now[0], sleep=sleep, note=notes.append)
    limiter.expect({SECRETS: 100})
    headers = {"x-ratelimit-limit": "40", "Retry-After": "48"}
    with limiter.turn("GET", "/api/v4/secrets") as turn:
        turn.read(429, headers)
    with limiter.turn("GET", "/api/v4/secrets"):
        pass
    limiter.announce({SECRETS: 290})
    assert notes == [
        "Infisical takes at most 40 calls of the secrets endpoints a minute: from now on this run "
        "keeps to that, and takes about 2 more minutes",
        "1 of about 100 calls of the secrets endpoints sent; the next ones wait 48 s",
        "At 40 calls of the secrets endpoints a minute this takes about 7 minutes",
    ]
