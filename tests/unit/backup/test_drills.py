"""Test the assessment of drills from the record of the last drill."""

import pytest

from infisical_iac.backup.record import parse_drill
from tests.unit.backup.records import assess_drills, drill_record


def test_a_drill_reports_the_snapshot_that_it_proved() -> None:
    text, ok = assess_drills(drill_record())
    assert ok
    assert all(each in text for each in ("1a2b3c4d", "box", "2026-11-24T02:41:17Z", "3020"))


def test_a_snapshot_without_a_canary_is_proven_too() -> None:
    text, ok = assess_drills(drill_record(canary="none", login="administrator"))
    assert ok
    assert text != assess_drills(drill_record(login="administrator"))[0]


@pytest.mark.parametrize("success", [30, None])
def test_a_failed_drill_is_unhealthy_despite_an_earlier_success(success: int | None) -> None:
    reason = "box: a pack is missing"
    text, ok = assess_drills(drill_record(failure=reason, success=success, canary=""))
    assert not ok
    assert reason in text
    assert ("2026-10-26T12:00:00Z" in text) == (success == 30)


@pytest.mark.parametrize(("days", "ok"), [(35, True), (36, False)])
def test_a_success_counts_for_35_days(days: int, ok: bool) -> None:
    assert assess_drills(drill_record(days=days, success=days))[1] == ok


@pytest.mark.parametrize(("days", "ok"), [(35, True), (36, False)])
def test_the_first_drill_is_due_within_35_days(days: int, ok: bool) -> None:
    assert assess_drills("", since=days)[1] == ok


def test_a_host_without_drills_is_unhealthy() -> None:
    assert assess_drills("", since=None)[1] is False


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"began": "yesterday"}'])
def test_a_malformed_record_of_a_drill_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_drill(text)
