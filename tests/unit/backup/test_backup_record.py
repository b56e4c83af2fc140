"""Test what the status says of backups, from how the last run went."""

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
    """A record that ended an hour ago; `hours` tells when each target had its last success."""
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


def _judged(text: str, *targets: BackupTarget, since: float | None = 100) -> tuple[str, bool]:
    set_up = None if since is None else _NOW - timedelta(hours=since)
    return assess_record(parse_record(text) if text else None, targets, since=set_up, now=_NOW)


def test_a_backup_in_every_target_is_well() -> None:
    assert _judged(_record(local=1, bucket=1), _HERE, _THERE) == (
        "2026-11-25T11:00:00Z, 6.1 MB to local, bucket",
        True,
    )


def test_one_on_the_host_alone_is_called_that() -> None:
    text, ok = _judged(_record(local=1), _HERE)
    assert (text, ok) == ("2026-11-25T11:00:00Z, 6.1 MB to local (on this host only)", True)


@pytest.mark.parametrize(("hours", "ok"), [(25.9, True), (26.1, False)])
def test_a_target_may_be_without_success_for_26_hours(hours: float, ok: bool) -> None:
    text, well = _judged(_record(local=1, bucket=hours), _HERE, _THERE)
    assert well == ok
    assert ok or text.startswith("no success within 26 h for bucket; last success 2026-11-25T11:00")


def test_a_target_that_never_had_a_success_is_not_well() -> None:
    text, ok = _judged(_record(local=1, bucket=None), _HERE, _THERE)
    assert (text.partition(";")[0], ok) == ("no success within 26 h for bucket", False)


def test_a_target_that_is_no_longer_in_the_settings_does_not_count() -> None:
    assert _judged(_record(local=1, bucket=99), _HERE)[1]


def test_a_run_that_failed_is_told_with_its_reason() -> None:
    text, ok = _judged(_record("bucket: connection refused", local=1, bucket=24), _HERE, _THERE)
    assert not ok
    assert text == (
        "failed at 2026-11-25T11:00:00Z: bucket: connection refused; "
        "last success 2026-11-25T11:00:00Z"
    )


def test_a_run_that_failed_without_any_success_before_says_so() -> None:
    assert _judged(_record("no room", local=None), _HERE)[0].endswith("; there is none yet")


@pytest.mark.parametrize(("hours", "ok"), [(3, True), (30, False)])
def test_the_first_backup_has_a_day_to_come(hours: float, ok: bool) -> None:
    text, well = _judged("", _HERE, since=hours)
    assert well == ok
    assert text == ("none yet" if ok else "none yet, 30 h after they were set up")


def test_a_host_without_backups_is_not_well() -> None:
    assert _judged("", _HERE, since=None)[1] is False


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"targets": [{"name": "local"}]}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_record(text)


def test_sizes_are_for_people() -> None:
    assert [size(bytes) for bytes in (0, 73_537, 6_100_000)] == ["0 kB", "74 kB", "6.1 MB"]
