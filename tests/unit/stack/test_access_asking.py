"""Test the times and statuses by which the access log can be filtered."""

import re
from datetime import UTC, datetime

import pytest

from infisical_iac.core.errors import SettingsError
from infisical_iac.stack.access_log import parse_since, statuses

_NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", datetime(2026, 11, 26, 11, 30, tzinfo=UTC)),
        ("12h", datetime(2026, 11, 26, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 19, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 11, 12, 12, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
        ("2026-11-25T10:00:00+02:00", datetime(2026, 11, 25, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_duration_ago_or_a_date(text: str, expected: datetime) -> None:
    assert parse_since(text, _NOW) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "yesterday", "-7d", "123456d", "2026-13-01"])
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=f"--since '{text}' ") as refusal:
        parse_since(text, _NOW)
    assert refusal.value.code == "settings.since"


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("200", "200"), ("4xx", "4.."), ("401,5xx", "401|5..")]
)
def test_statuses_become_a_regular_expression(text: str, expected: str) -> None:
    assert statuses(text) == expected


@pytest.mark.parametrize("text", ["x", "40x", "600", "200,", "200|.*", "2000"])
def test_an_invalid_status_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=f"--status {re.escape(repr(text))} ") as refusal:
        statuses(text)
    assert refusal.value.code == "settings.status"
