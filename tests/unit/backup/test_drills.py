"""Test what the status says of drills, from how the last one went."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infisical_iac.backup.record import assess_drill, parse_drill

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(*, days: int = 1, success: int | None = 1, **differing: Any) -> str:
    """A drill that ended so many `days` ago; `success` tells when one last succeeded."""
    moment = _text(_NOW - timedelta(days=days))
    return json.dumps(
        {
            "began": moment,
            "ended": moment,
            "failure": "",
            "success": "" if success is None else _text(_NOW - timedelta(days=success)),
            "target": "box",
            "snapshot": "1a2b3c4d",
            "at": "2026-11-24T02:41:17Z",
            "version": "v0.165.16",
            "login": "deployer",
            "canary": "alive",
            "folders": 12,
            "secrets": 3020,
            **differing,
        }
    )


def _judged(text: str, *, since: int | None = 100) -> tuple[str, bool]:
    set_up = None if since is None else _NOW - timedelta(days=since)
    return assess_drill(parse_drill(text) if text else None, since=set_up, now=_NOW)


def test_a_drill_tells_what_it_has_proven() -> None:
    assert _judged(_record()) == (
        "2026-11-24T12:00:00Z, snapshot 1a2b3c4d of box, made at 2026-11-24T02:41:17Z: "
        "3020 secrets in 12 folders read as deployer, the canary lives",
        True,
    )


def test_the_canary_may_be_the_one_secret() -> None:
    assert ": 1 secret in 12 folders" in _judged(_record(secrets=1))[0]


def test_a_snapshot_without_a_canary_is_called_that() -> None:
    text, ok = _judged(_record(canary="none", login="administrator"))
    assert text.endswith("read as administrator, who sees no canary")
    assert ok


def test_a_drill_that_failed_is_told_with_its_reason_and_the_last_success() -> None:
    told = _judged(_record(failure="box: a pack of it is missing", success=30, canary=""))
    assert told == (
        "failed at 2026-11-24T12:00:00Z: box: a pack of it is missing; "
        "last success 2026-10-26T12:00:00Z",
        False,
    )


def test_a_drill_that_failed_without_any_success_before_says_so() -> None:
    text, ok = _judged(_record(failure="no room", success=None))
    assert (text.endswith(": no room; there is none yet"), ok) == (True, False)


@pytest.mark.parametrize(("days", "ok"), [(35, True), (36, False)])
def test_a_success_counts_for_35_days(days: int, ok: bool) -> None:
    text, well = _judged(_record(days=days, success=days))
    assert well == ok
    assert ok or text == "no success within 35 days; last success 2026-10-20T12:00:00Z"


@pytest.mark.parametrize(("days", "ok"), [(35, True), (36, False)])
def test_the_first_drill_has_35_days_to_come(days: int, ok: bool) -> None:
    text, well = _judged("", since=days)
    assert well == ok
    assert text == (
        "none yet: `infisical-iac restore --drill` makes one"
        if ok
        else "none yet, 36 days after they were set up"
    )


def test_a_host_without_drills_is_not_well() -> None:
    assert _judged("", since=None) == ("not set up: `infisical-iac apply` does it", False)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"began": "yesterday"}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_drill(text)
