"""Test starts that fail or wait, and the end of a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.ports import free_port
from tests.standin import redis_gate
from tests.standin.config import RedisSettings

from .services import wait_until
from .world import ok

if TYPE_CHECKING:
    from .conftest import StartStandin

WRONG_KEY = "fedcba9876543210fedcba9876543210"
# The messages of Node's `crypto` and of Fastify, as the server logs them.
NOT_DECRYPTED = "Unsupported state or unable to authenticate data"
INVALID_KEY = "Invalid key length"
START_TIMED_OUT = "Plugin did not start"


@pytest.mark.parametrize("name", ["REDIS_URL", "AUTH_SECRET"])
def test_a_missing_setting_ends_the_start_with_255_and_its_name(
    start: StartStandin, database: str, name: str
) -> None:
    standin = start(database, **{name: None})
    assert standin.exit_code() == 255
    assert name in standin.log()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (WRONG_KEY, NOT_DECRYPTED),
        ("too-short", INVALID_KEY),
        (WRONG_KEY + "0123456789ab", INVALID_KEY),
    ],
)
def test_another_encryption_key_ends_the_start_of_an_existing_database(
    start: StartStandin, database: str, key: str, message: str
) -> None:
    start(database).wait().close()
    standin = start(database, ENCRYPTION_KEY=key)
    assert standin.exit_code() == 1
    assert message in standin.log()
    assert key not in standin.log()


def test_an_unreachable_database_ends_the_start(start: StartStandin, database: str) -> None:
    nowhere = f"postgresql://infisical@127.0.0.1:{free_port()}/infisical"
    standin = start(database, DB_CONNECTION_URI=nowhere)
    assert standin.exit_code() == 1
    assert "Boot up migration failed" in standin.log()


def test_without_redis_the_start_waits_with_a_closed_port(
    start: StartStandin, database: str
) -> None:
    standin = start(database, REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    wait_until(lambda: "ECONNREFUSED" in standin.log(), "nothing was logged", standin.log)
    assert standin.process.poll() is None
    assert not standin.answers()


def test_a_start_without_redis_ends_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real server ends in this way if its routes are not registered within 40 seconds."""
    monkeypatch.setattr(redis_gate, "LONGEST_START_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match=START_TIMED_OUT):
        redis_gate.wait_at_start(RedisSettings(f"redis://127.0.0.1:{free_port()}"))


def test_a_start_lasts_as_long_as_its_setting_before_the_port_opens(
    start: StartStandin, database: str
) -> None:
    begun = time.monotonic()
    start(database, STANDIN_START_SECONDS="2").wait()
    assert time.monotonic() - begun > 2


def test_servers_that_start_together_share_one_database(start: StartStandin, database: str) -> None:
    both = [start(database), start(database)]
    for standin in both:
        standin.wait()
        assert ok(standin.client().get("/api/status"))["standin"] is True


def test_sigterm_ends_the_server_within_two_seconds(start: StartStandin, database: str) -> None:
    standin = start(database).wait()
    begun = time.monotonic()
    standin.process.terminate()
    assert standin.exit_code() == 0
    assert time.monotonic() - begun < 2


def test_sigterm_ends_a_start_that_waits_for_redis(start: StartStandin, database: str) -> None:
    standin = start(database, REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    wait_until(lambda: "ECONNREFUSED" in standin.log(), "nothing was logged", standin.log)
    standin.process.terminate()
    assert standin.exit_code() == 0
