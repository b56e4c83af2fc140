"""Assess backups from the record of the last run."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infisical_iac.backup.record import assess_record, parse_record, size
from infisical_iac.backup.target import BackupTarget

_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_HERE = BackupTarget(name="local", repository="/var/backups/infisical")
_THERE = BackupTarget(name="bucket", repository="s3:https://s3.example.com/bucket")


def _text(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def _record(failure: str = "", **hours: float | None) -> str:
    """Return the record of a run that ended an hour ago.

    The `hours` are how long ago each target had its last success.
    """
    targets: list[dict[str, Any]] = [
        {
            "name": name,
            "success": "" if ago is None else _text(_NOW - timedelta(hours=ago)),
            "snapshot": "1a2b3c4d",
            "added": 10,
            "snapshots": 3,
            "error": "",
        }
        for name, ago in hours.items()
    ]
    moment = _text(_NOW - timedelta(hours=1))
    return json.dumps(
        {
            "began": moment,
            "ended": moment,
            "failure": failure,
            "bytes": 6_100_000,
            "targets": targets,
        }
    )


def _assess(text: str, *targets: BackupTarget, since: float | None = 100) -> tuple[str, bool]:
    set_up = None if since is None else _NOW - timedelta(hours=since)
    return assess_record(parse_record(text) if text else None, targets, since=set_up, now=_NOW)


def test_backup_in_every_target_is_healthy() -> None:
    text, ok = _assess(_record(local=1, bucket=1), _HERE, _THERE)
    assert ok
    assert text.partition(",")[0] == "2026-11-25T11:00:00Z"


@pytest.mark.parametrize(("hours", "ok"), [(25.9, True), (26.1, False)])
def test_a_target_may_be_without_success_for_26_hours(hours: float, ok: bool) -> None:
    text, healthy = _assess(_record(local=1, bucket=hours), _HERE, _THERE)
    assert healthy == ok
    assert ok or ("bucket" in text and "local" not in text)


def test_a_target_that_never_had_a_success_is_unhealthy() -> None:
    text, ok = _assess(_record(local=1, bucket=None), _HERE, _THERE)
    assert not ok
    assert "bucket" in text
    assert "local" not in text


def test_a_target_that_is_no_longer_in_the_settings_does_not_count() -> None:
    assert _assess(_record(local=1, bucket=99), _HERE)[1]


def test_a_failed_run_is_reported_with_its_reason() -> None:
    failure = "bucket: connection refused"
    text, ok = _assess(_record(failure, local=1, bucket=24), _HERE, _THERE)
    assert not ok
    assert failure in text


@pytest.mark.parametrize(("hours", "ok"), [(3, True), (30, False)])
def test_the_first_backup_is_due_within_26_hours(hours: float, ok: bool) -> None:
    assert _assess("", _HERE, since=hours)[1] == ok


def test_a_host_without_backups_is_unhealthy() -> None:
    assert _assess("", _HERE, since=None)[1] is False


@pytest.mark.parametrize(
    ("record", "targets", "since", "expected"),
    [
        ("", [_HERE], None, "not set up: `infisical-iac apply` does it"),
        ("", [_HERE], 3, "none yet"),
        ("", [_HERE], 30, "none yet, 30 h after they were set up"),
        (
            _record(local=1, bucket=1),
            [_HERE, _THERE],
            100,
            "2026-11-25T11:00:00Z, 6.1 MB to local, bucket",
        ),
        (
            _record(local=1),
            [_HERE],
            100,
            "2026-11-25T11:00:00Z, 6.1 MB to local (on this host only)",
        ),
        (
            _record(local=1, bucket=27),
            [_HERE, _THERE],
            100,
            "no success within 26 h for bucket; last success 2026-11-25T11:00:00Z",
        ),
        (
            _record("no space", local=1),
            [_HERE],
            100,
            "failed at 2026-11-25T11:00:00Z: no space; last success 2026-11-25T11:00:00Z",
        ),
        (
            _record("no space", local=None),
            [_HERE],
            100,
            "failed at 2026-11-25T11:00:00Z: no space; there is none yet",
        ),
    ],
)
def test_wording_of_the_status(
    record: str, targets: list[BackupTarget], since: float | None, expected: str
) -> None:
    assert _assess(record, *targets, since=since)[0] == expected


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"targets": [{"name": "local"}]}'])
def test_another_text_is_refused_as_a_record(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_record(text)


def test_sizes_are_for_people() -> None:
    assert [size(bytes) for bytes in (0, 73_537, 6_100_000)] == ["0 kB", "74 kB", "6.1 MB"]
