"""Provide the health of a host where everything is wrong, and all rows about it."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta

from infisical_iac.agent.health import MonitorReport, Silence
from infisical_iac.core.audit_entries import Log
from infisical_iac.core.change import Row
from infisical_iac.core.settings import Settings
from infisical_iac.monitoring.health import HealthState, drift, rows
from infisical_iac.stack.model import GivenUp
from infisical_iac.workspace.credential_file import Term

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BROKEN_LOG = Log([], broken_at=1)


def troubled() -> HealthState:
    """Return a state with a value in each field, as a row may depend on any of them."""
    state = HealthState(
        disk_free_gb=1.0,
        disk_size_gb=40.0,
        certificate_ends=1,
        engine=False,
        credentials={"backend.production": Term(NOW - timedelta(days=90), NOW)},
        holder="apply by ada@laptop",
        backups_since=1,
        backups="{}",
        saved={"bucket": NOW},
        drills_since=1,
        drills="{}",
        closed=1,
        unfinished={"upgrade": "swapped"},
        given_up=(GivenUp("infisical_postgres_given_up_20261125T115900Z"),),
        firewall="none",
        monitor=MonitorReport(1, ("redis is exited",), silence=Silence(2, "a move", "ada@laptop")),
    )
    usual = HealthState()
    # Docker does not answer, so the containers are unknown.
    names = [each.name for each in fields(state) if each.name != "containers"]
    without = [each for each in names if getattr(state, each) == getattr(usual, each)]
    assert without == [], "give them a value here"
    return state


def all_rows(settings: Settings) -> list[Row]:
    """Return the rows of `status` about such a host."""
    return rows(troubled(), settings, BROKEN_LOG, drift([]), NOW)
