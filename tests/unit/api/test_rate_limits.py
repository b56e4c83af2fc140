"""Test that requests stay below the rate limits, on a clock that only sleeps advance."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

import httpx
import pytest

from infisical_iac.api.client import Client
from infisical_iac.api.rate_limits import READS, SECRETS, WRITES, RateLimiter, Turn, classify
from infisical_iac.core.errors import ApiError
from tests.unit.api.test_client import OK, refusal

_SECRETS = ("GET", "/api/v4/secrets")
_READ = ("GET", "/api/v1/projects")
_RECORDED = Path(__file__).parents[2] / "standin/rate_limits.json"
# The limiters of the real server, by this project's name of the class.
_LIMITERS = {
    "readLimit": "reads",
    "writeLimit": "writes",
    "secretsLimit": "secrets",
    "identityCreationLimit": "identities",
    "projectCreationLimit": "projects",
    "authRateLimit": "logins",
    "smtpRateLimit": "mails",
    None: None,
}
# Routes of a browser, and those that only tests call.
_NOT_CALLED = (
    *("/api/v1/account-recovery", "/api/v1/invite-org/verify", "/api/v1/rate-limit"),
    *("/api/v1/sso", "/api/v1/user/{user_id}/unlock", "/api/v2/auth/mfa", "/api/v2/password"),
    *("/api/v3/signup", "/runtime-ui-env.js"),
)


class Time:
    """A clock, the sleeps that advance it, and the notes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self.notes: list[str] = []
        self._lock = Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.sleeps.append(seconds)

    def limiter(self, **limits: int) -> RateLimiter:
        return RateLimiter(
            limits,
            window=60,
            clock=lambda: self.now,
            sleep=self.sleep,
            note=self.notes.append,
        )


@pytest.fixture
def time() -> Time:
    return Time()


@contextmanager
def _turn(limiter: RateLimiter, request: tuple[str, str] = _SECRETS) -> Iterator[Turn]:
    with limiter.turn(*request) as turn:
        yield turn
        turn.read(200, {})


def _send(limiter: RateLimiter, number: int, request: tuple[str, str] = _SECRETS) -> None:
    for _ in range(number):
        with _turn(limiter, request):
            pass


def _refuse(limiter: RateLimiter, **headers: str) -> bool:
    with limiter.turn(*_SECRETS) as turn:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return turn.read(429, httpx.Headers(given))


def test_every_route_has_the_class_of_the_real_server() -> None:
    recorded = json.loads(_RECORDED.read_text(encoding="utf-8"))
    routes = {
        each: limiter
        for each, limiter in recorded.items()
        if each.endswith("/api/v1/rate-limit") or each != "GET /"
    }
    called = {
        each: _LIMITERS[limiter]
        for each, limiter in routes.items()
        if not each.split()[1].startswith(_NOT_CALLED)
    }
    classified = {each: classify(*each.split()) for each in called}
    assert {each: kind and kind.name for each, kind in classified.items()} == called


def test_all_but_one_are_sent_at_once_and_then_the_next_request_waits_a_minute(time: Time) -> None:
    limiter = time.limiter(secrets=40)
    _send(limiter, 39)
    assert time.sleeps == []
    _send(limiter, 1)
    assert time.now == 1060


def test_no_minute_has_as_many_requests_as_the_limit(time: Time) -> None:
    limiter, sent = time.limiter(secrets=7), []
    for number in range(50):
        with _turn(limiter):
            sent.append(time.now)
            time.now += number % 3
    windows = [sum(start <= each < start + 60 for each in sent) for start in sent]
    assert max(windows) == 6


def test_a_minute_is_counted_from_the_end_of_an_answer(time: Time) -> None:
    """The server may have counted the request as late as that."""
    limiter = time.limiter(secrets=1)
    with _turn(limiter):
        time.now += 100
    _send(limiter, 1)
    assert time.now == 1160


def test_each_class_has_its_own_limit(time: Time) -> None:
    limiter = time.limiter(reads=3, writes=3, secrets=3)
    for request in (_SECRETS, _READ, ("POST", "/api/v1/webhooks"), ("GET", "/api/status")):
        _send(limiter, 2, request)
    _send(limiter, 100, ("GET", "/api/status"))
    assert time.sleeps == []


def test_new_identities_have_the_fixed_limit_of_the_server(time: Time) -> None:
    limiter = time.limiter(reads=60, writes=200, secrets=40)
    _send(limiter, 30, ("POST", "/api/v1/identities"))
    assert time.now == 1060


def test_nothing_waits_without_limits(time: Time) -> None:
    limiter = time.limiter()
    _send(limiter, 1000)
    _send(limiter, 100, ("POST", "/api/v1/identities"))
    assert (time.sleeps, time.notes) == ([], [])
    assert limiter.count_sent()[SECRETS] == 1000


def test_threads_and_derived_clients_share_the_limit(time: Time) -> None:
    sent, lock = [], Lock()

    def answer(_: httpx.Request) -> httpx.Response:
        with lock:
            sent.append(time.now)
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(answer)
    client = Client("http://infisical:8080", transport, limiter=time.limiter(reads=10))
    clients = [client, client.with_token("fake"), client.with_patience()]
    threads = [Thread(target=each.get, args=["/api/x"]) for each in clients * 11]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 33
    assert max(sum(start <= each < start + 60 for each in sent) for start in sent) == 9


def test_the_first_answer_shows_what_other_programs_have_sent(time: Time) -> None:
    limiter = time.limiter(secrets=40)
    seen = {"x-ratelimit-limit": "40", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "25"}
    with limiter.turn(*_SECRETS) as turn:
        turn.read(200, seen)
    _send(limiter, 2)
    assert time.now == 1000
    _send(limiter, 1)
    assert time.now == 1025


def test_the_servers_own_count_of_these_requests_delays_nothing(time: Time) -> None:
    limiter = time.limiter(secrets=10)
    for number in range(9):
        with limiter.turn(*_SECRETS) as turn:
            turn.read(200, {"x-ratelimit-remaining": str(9 - number), "x-ratelimit-reset": "60"})
    assert time.sleeps == []


def test_the_limit_of_a_refused_request_counts_from_then_on(time: Time) -> None:
    limiter = time.limiter()
    _send(limiter, 100)
    assert _refuse(limiter, x_ratelimit_limit="40", Retry_After="12")
    _send(limiter, 1)
    assert time.now == 1012
    _send(limiter, 37)
    assert time.now == 1012  # The refused request counts too.
    _send(limiter, 1)
    assert time.now == 1060
    assert re.findall(r"\d+", time.notes[0]) == ["40"]


def test_a_limit_is_learned_and_reported_once(time: Time) -> None:
    limiter = time.limiter()
    for _ in range(3):
        _refuse(limiter, x_ratelimit_limit="40", Retry_After="1")
    assert len(time.notes) == 1


def test_a_lower_limit_than_the_given_one_is_learned(time: Time) -> None:
    limiter = time.limiter(secrets=100)
    _refuse(limiter, x_ratelimit_limit="3", Retry_After="60")
    _send(limiter, 2)
    assert time.now == 1060
    _send(limiter, 1)
    assert time.now == 1120


def test_a_higher_limit_than_the_given_one_is_not(time: Time) -> None:
    limiter = time.limiter(secrets=1)
    _refuse(limiter, x_ratelimit_limit="100", Retry_After="5")
    _send(limiter, 1)
    assert time.now == 1060


def test_a_refusal_without_a_limit_delays_a_class_that_has_one(time: Time) -> None:
    """A proxy in front of the server has limits of its own."""
    limiter = time.limiter(secrets=40)
    assert _refuse(limiter, Retry_After="20")
    _send(limiter, 1)
    assert time.now == 1020


def test_a_pause_of_an_hour_is_left_to_the_caller(time: Time) -> None:
    assert not _refuse(time.limiter(secrets=40), Retry_After="3600")


@pytest.mark.parametrize("headers", [{}, {"x_ratelimit_limit": "many"}])
def test_a_refusal_without_a_limit_is_left_to_the_caller(
    time: Time, headers: dict[str, str]
) -> None:
    limiter = time.limiter()
    assert not _refuse(limiter, Retry_After="5", **headers)
    _send(limiter, 100)
    assert (time.sleeps, time.notes) == ([], [])


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_client_repeats_a_refused_request_when_the_server_takes_it(
    time: Time, method: str
) -> None:
    refused = refusal(429, "RateLimitExceeded", "Rate limit exceeded")
    refused.headers.update({"x-ratelimit-limit": "5", "Retry-After": "9"})
    answers = [refused, refused, OK]
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    client = Client("http://infisical:8080", transport, limiter=time.limiter())
    assert getattr(client, method)("/api/x") == {"ok": True}
    assert time.now == 1018


def test_a_client_gives_up_if_the_server_refuses_for_ever(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", time.sleep)
    headers = {"x-ratelimit-limit": "5", "Retry-After": "9"}
    transport = httpx.MockTransport(lambda _: httpx.Response(429, headers=headers))
    client = Client("http://infisical:8080", transport, limiter=time.limiter())
    with pytest.raises(ApiError) as failed:
        client.post("/api/x")
    assert failed.value.code == "api.rate_limit"


def test_the_duration_of_a_long_run_is_announced(time: Time) -> None:
    limiter = time.limiter(reads=60, writes=200, secrets=40)
    limiter.announce({READS: 59, WRITES: 100, SECRETS: 290})
    (note,) = time.notes
    assert note.startswith("At 40 calls")
    assert note.endswith("about 7 minutes")


def test_the_classes_of_a_run_take_their_time_one_after_the_other(time: Time) -> None:
    sentence = time.limiter(reads=61, secrets=41).describe({READS: 240, SECRETS: 80}, "this")
    assert sentence.startswith("At 61 reads")
    assert sentence.endswith("about 4 minutes")


def test_requests_sent_in_this_minute_delay_those_that_are_due(time: Time) -> None:
    limiter = time.limiter(secrets=41)
    _send(limiter, 30)
    assert limiter.describe({SECRETS: 10}, "this") == ""
    assert limiter.describe({SECRETS: 11}, "`x`").endswith("`x` takes about 1 minute")


@pytest.mark.parametrize("limits", [{}, {"secrets": 291}])
def test_the_duration_of_a_short_run_is_not_announced(time: Time, limits: dict[str, int]) -> None:
    time.limiter(**limits).announce({SECRETS: 290})
    assert time.notes == []


def test_a_limit_learned_in_a_run_announces_the_duration_of_the_rest(time: Time) -> None:
    limiter = time.limiter()
    limiter.announce({SECRETS: 200})
    _send(limiter, 100)
    _refuse(limiter, x_ratelimit_limit="40", Retry_After="30")
    (note,) = time.notes
    assert note.endswith("about 2 more minutes")


def test_long_waits_are_reported_with_the_progress(time: Time) -> None:
    limiter = time.limiter(secrets=11)
    limiter.announce({SECRETS: 35})
    _send(limiter, 35)
    progress = [each for each in time.notes if "sent" in each]
    assert [each.split(" calls")[0] for each in progress] == [
        "10 of about 35",
        "20 of about 35",
        "30 of about 35",
    ]
