"""Test the pauses after failed requests."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from infisical_config.retrying import pause


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 0.5), (1, 1), (2, 2)])
def test_pauses_double_and_vary_by_a_fifth(attempt: int, seconds: float) -> None:
    pauses = {pause(attempt, None) for _ in range(200)}
    assert 0.8 * seconds <= min(pauses) < seconds < max(pauses) <= 1.2 * seconds


def test_a_retry_after_in_seconds_is_used() -> None:
    assert pause(0, "7") == 7


def test_a_retry_after_as_a_date_is_used() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 58 < pause(0, soon) <= 60


def test_a_retry_after_in_the_past_needs_no_pause() -> None:
    assert pause(0, "Wed, 01 Jan 2020 00:00:00 GMT") == 0


@pytest.mark.parametrize("word", ["", "soon", "-1", "1.5", "٣"])
def test_an_invalid_retry_after_is_ignored(word: str) -> None:
    assert 0.4 <= pause(0, word) <= 0.6
