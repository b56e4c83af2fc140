"""Provide the rows of `status` about a host, for tests."""

from datetime import UTC, datetime
from typing import Any

from infisical_iac.core.audit_entries import Log
from infisical_iac.core.settings import Settings, load
from infisical_iac.monitoring.health import HealthState, drift, rows
from infisical_iac.stack.settings import with_digest
from tests.unit.settings_of import defaults

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OUTPUT = [
    f"container infisical {with_digest('infisical/infisical:v0.165.16')} running healthy",
    f"container postgres {with_digest('postgres:17.11')} running healthy",
    f"container redis {with_digest('redis:8.2.10')} running healthy",
    "disk 20971520 41943040",
    "engine",
    "backups 1795600800 ",
    "drills 1795600800 ",
]


def settings(**changes: Any) -> Settings:
    """Return the defaults without ingress."""
    return load(defaults(**{"ingress": "none", **changes}))


def row_of(name: str, state: HealthState, **changes: Any) -> tuple[str, bool]:
    """Return the text of the row with a name, and whether the row is healthy."""
    found = rows(state, settings(**changes), Log([]), drift([]), NOW)
    (row,) = (each for each in found if each.name == name)
    return row.text, row.ok
