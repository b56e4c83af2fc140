"""Provide the health of a host where everything is wrong, and all rows about it."""

import json
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta

from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.health import DiskSpace, HealthFacts, MonitorReport, Silence
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.core.audit_entries import Log
from infisical_iac.core.change import Row
from infisical_iac.core.settings import Settings
from infisical_iac.monitoring.health import HealthState, drift_row, rows

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BROKEN_LOG = Log([], broken_at=1)


def troubled() -> HealthState:
    """Return a state with a value in each field, as a row may depend on any of them."""
    names = ("containers", "given_up")
    facts = HealthFacts(
        engine=False,
        disk=DiskSpace("/var/lib", 1024**3, 40 * 1024**3),
        holder="apply by ada@laptop",
        credentials={
            "backend.production": ((NOW - timedelta(days=90)).isoformat(), NOW.isoformat())
        },
        certificate_ends=1,
        backups_since=1,
        backups="{}",
        saved={"bucket": int(NOW.timestamp())},
        drills_since=1,
        drills="{}",
        closed=1,
        unfinished={"upgrade": "swapped"},
        ended={"rotation": json.dumps(asdict(TransactionJournal("rotation", "", outcome="done")))},
        firewall="none",
    )
    state = HealthState(
        facts,
        MonitorReport(1, ("redis is exited",), silence=Silence(2, "a move", "ada@laptop")),
        (GivenUp("infisical_postgres_given_up_20261125T115900Z"),),
    )
    for found, usual in ((facts, HealthFacts(engine=True)), (state, HealthState())):
        # Docker does not answer, so the containers are unknown; the state has what was given up.
        named = [each.name for each in fields(found) if found is state or each.name not in names]
        without = [each for each in named if getattr(found, each) == getattr(usual, each)]
        assert without == [], "give them a value here"
    return state


def all_rows(settings: Settings) -> list[Row]:
    """Return the rows of `status` about such a host."""
    return rows(troubled(), settings, BROKEN_LOG, drift_row([]), NOW)
