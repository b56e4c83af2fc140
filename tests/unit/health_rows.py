"""Provide the rows of `status` about a host, for tests."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent.health import DiskSpace, HealthFacts, Running
from infisical_iac.core.audit_entries import Log
from infisical_iac.core.settings import Settings, load
from infisical_iac.monitoring.health import HealthState, drift_row, rows, to_state
from infisical_iac.stack.settings import with_digest
from tests.unit.settings_of import defaults

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
GIB = 1024**3
_IMAGES = {
    "infisical": "infisical/infisical:v0.165.16",
    "postgres": "postgres:17.11",
    "redis": "redis:8.2.10",
}
FACTS = HealthFacts(
    engine=True,
    containers={
        name: Running(with_digest(image), "running", "healthy") for name, image in _IMAGES.items()
    },
    disk=DiskSpace("/var/lib", 20 * GIB, 40 * GIB),
    backups_since=1795600800,
    drills_since=1795600800,
)


def observed(**changes: Any) -> HealthState:
    """Return the state of a healthy host, with some other facts."""
    return to_state(replace(FACTS, **changes))


def changed(state: HealthState, **facts: Any) -> HealthState:
    """Return a state with some other facts."""
    return replace(state, facts=replace(state.facts, **facts))


def settings(**changes: Any) -> Settings:
    """Return the defaults without ingress."""
    return load(defaults(**{"ingress": "none", **changes}))


def row_of(name: str, state: HealthState, **changes: Any) -> tuple[str, bool]:
    """Return the text of the row with a name, and whether the row is healthy."""
    found = rows(state, settings(**changes), Log([]), drift_row([]), NOW)
    (row,) = (each for each in found if each.name == name)
    return row.text, row.ok
