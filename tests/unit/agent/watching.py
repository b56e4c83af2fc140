"""Observations of a healthy host, with changes, for tests of the monitor."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent.health import DiskSpace, HealthFacts, Running
from infisical_iac.agent.observed import Expectations, History, Observed
from infisical_iac.agent.vitals import Vitals

# 2026-11-25 12:00:00 UTC.
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60, 3600, 86400
GIB = 1024**3
_SERVICES = ("infisical", "postgres", "redis")


def moment(at: float) -> str:
    """Return a time as Docker prints it."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.123456789Z"


def running(**changes: Any) -> Running:
    """Return a healthy container that started a day ago."""
    container = Running("image:1", "running", "healthy", moment(NOW - DAY), moment(NOW - DAY - 9))
    return replace(container, **changes)


def containers(**changes: Running | None) -> dict[str, Running]:
    """Return the containers of the stack, of which some are replaced or missing."""
    found = {name: changes.get(name, running()) for name in _SERVICES}
    return {name: each for name, each in found.items() if each}


HEALTHY = HealthFacts(
    engine=True,
    containers=containers(),
    disk=DiskSpace("/var/lib/docker", 20 * GIB, 40 * GIB),
    certificate_ends=int(NOW + 60 * DAY),
    backups_since=int(NOW - 100 * DAY),
    backups='{"failure": ""}',
    saved={"local": int(NOW - HOUR)},
    drills_since=int(NOW - 100 * DAY),
    drills='{"failure": "", "success": "2026-11-24T04:30:00Z"}',
    firewall="loaded",
)
VITALS = Vitals(
    uptime=30 * DAY,
    load=0.5,
    processors=2,
    memory=4 * GIB,
    available=2 * GIB,
    swap=GIB,
    free_swap=GIB,
    synchronized=True,
)
EXPECTED = Expectations(
    services=_SERVICES, served_name="secrets.example.com", backup_targets=("local",)
)


def observe(
    *,
    now: float = NOW,
    vitals: Vitals = VITALS,
    expected: Expectations = EXPECTED,
    history: History | None = None,
    **facts: Any,
) -> Observed:
    """Return the observed state of a healthy host, with some other facts."""
    return Observed(now, replace(HEALTHY, **facts), vitals, expected, history or History())
