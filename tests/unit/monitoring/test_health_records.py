"""Test the rows of `status` on runs, drift, backups, drills and the end of credentials."""

from datetime import timedelta
from typing import Any

import pytest

from infisical_iac.core.audit_entries import AuditEntry, Log, list_runs
from infisical_iac.monitoring.health import HealthState, drift_row, first_apply, rows
from infisical_iac.workspace.credential_file import Term
from tests.unit.health_rows import NOW, changed, observed, row_of, settings


@pytest.fixture
def state() -> HealthState:
    return observed()


def _entry(outcome: Any, run: str, event: Any = "apply") -> AuditEntry:
    at = "2026-11-25T11:00:00Z"
    return AuditEntry(at, "ada@laptop", event, outcome, run, "abc123", ["+ package curl"])


@pytest.mark.parametrize(
    ("outcome", "end"), [("done", "changed 1"), ("failed", "failed"), ("begun", "has not ended")]
)
def test_the_last_apply_is_reported(state: HealthState, outcome: str, end: str) -> None:
    log = Log([_entry("done", "1"), _entry(outcome, "2"), _entry("done", "3", "backup")])
    found = rows(state, settings(), log, drift_row([]), NOW)
    (row,) = (each for each in found if each.name == "Last apply")
    for fact in ("2026-11-25T11:00:00Z", "ada@laptop", "abc123"):
        assert fact in row.text
    assert row.text.endswith(f": {end}")
    assert (row.ok, row.is_note) == (True, outcome != "done")


_HOLDER = "by ada@laptop since 2026-11-25 11:58:00 UTC, process 7"


@pytest.mark.parametrize(
    ("outcomes", "holder", "is_first"),
    [
        ((), _HOLDER, True),
        (("begun",), _HOLDER, True),
        (("failed", "begun"), _HOLDER, True),
        (("done", "begun"), _HOLDER, False),
        (("begun",), "", False),
        # The host's own maintenance ends by itself, and is no apply.
        ((), "by the maintenance", False),
    ],
)
def test_a_first_apply_that_is_under_way_is_one_row(
    state: HealthState, outcomes: tuple[str, ...], holder: str, *, is_first: bool
) -> None:
    runs = list_runs(_entry(each, str(number)) for number, each in enumerate(outcomes))
    row = first_apply([changed(state, holder=holder)], runs)
    assert (row is not None) is is_first
    if row:
        assert (row.name, row.ok) == ("Infisical", False)
        assert holder in row.text
        assert "`infisical-iac status`" in row.text


def test_a_restore_onto_a_new_host_is_not_a_first_apply(state: HealthState) -> None:
    runs = list_runs([_entry("begun", "1", "restore")])
    assert first_apply([changed(state, holder=_HOLDER)], runs) is None


def test_a_host_with_a_backup_and_no_log_has_been_applied_to(state: HealthState) -> None:
    assert first_apply([changed(state, holder=_HOLDER, backups="{}")], []) is None


def test_pending_drift_is_not_healthy_and_lists_three_changes(
    state: HealthState,
) -> None:
    pending = [f"+ package {number}" for number in range(5)]
    row = rows(state, settings(), Log([]), drift_row(pending), NOW)[-1]
    assert not row.ok
    assert row.text == f"{'; '.join(pending[:3])} and 2 more"


def test_unknown_drift_is_not_healthy_and_has_its_reason() -> None:
    row = drift_row([], error="a key is gone")
    assert (row.text.endswith(": a key is gone"), row.ok) == (True, False)


def test_backups_are_reported_from_the_hosts_record(state: HealthState) -> None:
    text, is_healthy = row_of("Last backup", state)
    assert ("`infisical-iac backup now`" in text, is_healthy) == (True, True)
    recorded = observed(
        backups='{"began": "2026-11-25T02:31:00Z", "ended": "2026-11-25T02:31:07Z", '
        '"failure": "local: no space left", "bytes": 0, "targets": [\n]}\n'
    )
    text, ok = row_of("Last backup", recorded)
    assert not ok
    assert text.startswith("failed at 2026-11-25T02:31:07Z: ")
    assert "local: no space" in text
    unreadable, ok = row_of("Last backup", changed(state, backups="{"))
    assert ("record" in unreadable, ok) == (True, False)


def test_backups_that_are_not_set_up_are_not_healthy(state: HealthState) -> None:
    assert not row_of("Last backup", changed(state, backups_since=None))[1]


def test_drills_are_reported_from_the_hosts_record(state: HealthState) -> None:
    text, ok = row_of("Last drill", state)
    assert ("`infisical-iac restore --drill`" in text, ok) == (True, True)
    text, ok = row_of("Last drill", changed(state, drills="{}"))
    assert ("record" in text, ok) == (True, False)
    assert not row_of("Last drill", changed(state, drills_since=None))[1]


def test_credentials_without_an_end_have_no_row(state: HealthState) -> None:
    names = [each.name for each in rows(state, settings(), Log([]), drift_row([]), NOW)]
    assert "Credentials" not in names


def _dates(term: Term) -> tuple[str, str]:
    return term.begins.isoformat(), term.ends.isoformat()


@pytest.mark.parametrize(
    ("days", "text", "ok"),
    [
        (60, "backend.production ends 2027-01-24, 60 days from now", True),
        (14, "backend.production ends 2026-12-09, 14 days from now: rotate", False),
        (1, "backend.production ends 2026-11-26, 1 day from now: rotate", False),
        (-1, "backend.production has ended on 2026-11-24: rotate", False),
    ],
)
def test_credentials_are_healthy_until_near_their_end(
    state: HealthState, days: int, text: str, ok: bool
) -> None:
    term = Term(NOW - timedelta(days=90), NOW + timedelta(days=days))
    later = Term(term.begins, term.ends + timedelta(days=200))
    terms = {"backend.staging": _dates(later), "backend.production": _dates(term)}
    output = text.replace(": rotate", ": `infisical-iac credentials rotate`")
    assert row_of("Credentials", changed(state, credentials=terms)) == (output, ok)


def test_short_lived_credentials_are_reported_in_the_last_quarter_of_their_lifetime(
    state: HealthState,
) -> None:
    term = Term(NOW - timedelta(days=5), NOW + timedelta(days=3))
    assert row_of("Credentials", changed(state, credentials={"a.b": _dates(term)}))[1]


@pytest.mark.parametrize(
    ("firewall", "fact"),
    [
        ("ssh-only", "only SSH "),
        ("failed", "the previous ones stay"),
        ("none", "nothing is filtered"),
    ],
)
def test_firewall_rules_that_are_not_loaded_are_reported(
    state: HealthState, firewall: str, fact: str
) -> None:
    read = observed(firewall=firewall)
    text, ok = row_of("Firewall", read)
    assert (fact in text, ok) == (True, False)
    assert "`infisical-iac apply`" in text
    loaded = changed(state, firewall="loaded")
    names = {each.name for each in rows(loaded, settings(), Log([]), drift_row([]), NOW)}
    assert "Firewall" not in names
