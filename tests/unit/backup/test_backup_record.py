"""Test the assessment of backups from the record of the last run."""

import pytest

from infisical_iac.backup.record import parse_record, size
from tests.unit.backup.records import HERE, THERE, assess_backups, backup_record


def test_backup_in_every_target_is_healthy() -> None:
    text, ok = assess_backups(backup_record(local=1, bucket=1), HERE, THERE)
    assert ok
    for fact in ("2026-11-25T11:00:00Z", "6.1 MB", "local", "bucket"):
        assert fact in text


@pytest.mark.parametrize(("hours", "ok"), [(25.9, True), (26.1, False)])
def test_a_target_may_be_without_success_for_26_hours(hours: float, ok: bool) -> None:
    text, healthy = assess_backups(backup_record(local=1, bucket=hours), HERE, THERE)
    assert healthy == ok
    assert ok or ("bucket" in text and "local" not in text)


def test_a_target_that_never_had_a_success_is_unhealthy() -> None:
    text, ok = assess_backups(backup_record(local=1, bucket=None), HERE, THERE)
    assert not ok
    assert "bucket" in text
    assert "local" not in text


def test_a_target_that_is_no_longer_in_the_settings_does_not_count() -> None:
    assert assess_backups(backup_record(local=1, bucket=99), HERE)[1]


def test_a_failed_run_is_reported_with_its_reason() -> None:
    failure = "bucket: connection refused"
    text, ok = assess_backups(backup_record(failure, local=1, bucket=24), HERE, THERE)
    assert not ok
    assert failure in text


@pytest.mark.parametrize(("hours", "ok"), [(3, True), (30, False)])
def test_the_first_backup_is_due_within_26_hours(hours: float, ok: bool) -> None:
    assert assess_backups("", HERE, since=hours)[1] == ok


def test_a_host_without_backups_is_unhealthy() -> None:
    assert assess_backups("", HERE, since=None)[1] is False


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"targets": [{"name": "local"}]}'])
def test_a_malformed_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_record(text)


def test_sizes_are_printed_in_kb_or_mb() -> None:
    assert [size(bytes) for bytes in (0, 73_537, 6_100_000)] == ["0 kB", "74 kB", "6.1 MB"]
