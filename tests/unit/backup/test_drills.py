"""Assess drills from the record of the last one."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infisical_iac.backup.record import assess_drill, parse_drill

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(*, days: int = 1, success: int | None = 1, **differing: Any) -> str:
    """Return the record of a drill that ended `days` ago, with a success `success` days ago."""
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


def _assess(text: str, *, since: int | None = 100) -> tuple[str, bool]:
    set_up = None if since is None else _NOW - timedelta(days=since)
    return assess_drill(parse_drill(text) if text else None, since=set_up, now=_NOW)


def test_a_drill_reports_the_snapshot_that_it_proved() -> None:
    text, ok = _assess(_record())
    assert ok
    assert all(each in text for each in ("1a2b3c4d", "box", "2026-11-24T02:41:17Z", "3020"))


def test_a_snapshot_without_a_canary_is_proven_too() -> None:
    text, ok = _assess(_record(canary="none", login="administrator"))
    assert ok
    assert text != _assess(_record(login="administrator"))[0]


@pytest.mark.parametrize("success", [30, None])
def test_a_failed_drill_is_unhealthy_whatever_succeeded_before(success: int | None) -> None:
    reason = "box: a pack is missing"
    text, ok = _assess(_record(failure=reason, success=success, canary=""))
    assert not ok
    assert reason in text
    assert ("2026-10-26T12:00:00Z" in text) == (success == 30)


@pytest.mark.parametrize(("days", "ok"), [(35, True), (36, False)])
def test_a_success_counts_for_35_days(days: int, ok: bool) -> None:
    assert _assess(_record(days=days, success=days))[1] == ok


@pytest.mark.parametrize(("days", "ok"), [(35, True), (36, False)])
def test_the_first_drill_is_due_within_35_days(days: int, ok: bool) -> None:
    assert _assess("", since=days)[1] == ok


def test_a_host_without_drills_is_unhealthy() -> None:
    assert _assess("", since=None)[1] is False


_PROVEN = "2026-11-24T12:00:00Z, snapshot 1a2b3c4d of box, made at 2026-11-24T02:41:17Z"


@pytest.mark.parametrize(
    ("record", "since", "expected"),
    [
        ("", None, "not set up: `infisical-iac apply` does it"),
        ("", 35, "none yet: `infisical-iac restore --drill` makes one"),
        ("", 36, "none yet, 36 days after they were set up"),
        (
            _record(),
            100,
            f"{_PROVEN}: 3020 secrets in 12 folders read as deployer, the canary is intact",
        ),
        (
            _record(secrets=1, canary="none", login="administrator"),
            100,
            f"{_PROVEN}: 1 secret in 12 folders read as administrator, which sees no canary",
        ),
        (
            _record(failure="no space", success=30),
            100,
            "failed at 2026-11-24T12:00:00Z: no space; last success 2026-10-26T12:00:00Z",
        ),
        (
            _record(failure="no space", success=None),
            100,
            "failed at 2026-11-24T12:00:00Z: no space; there is none yet",
        ),
        (
            _record(days=36, success=36),
            100,
            "no success within 35 days; last success 2026-10-20T12:00:00Z",
        ),
    ],
)
def test_wording_of_the_status(record: str, since: int | None, expected: str) -> None:
    assert _assess(record, since=since)[0] == expected


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"began": "yesterday"}'])
def test_another_text_is_refused_as_a_record(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_drill(text)
