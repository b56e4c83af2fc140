"""Observations of a healthy host, with changes, for tests of the monitor."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from infisical_iac.agent.health import DiskSpace, HealthFacts, Running
from infisical_iac.agent.observed import Expectations, History, Observed
from infisical_iac.agent.swarm import ClusterFacts, ObservedNode, PostgresMember
from infisical_iac.agent.upkeep import NewerRelease, ReleaseRecord, Upkeep, WatchedRepository
from infisical_iac.agent.vitals import TimerState, Vitals

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
    timers=(TimerState("infisical-backup.timer", True, None, NOW + HOUR),),
)
# Hours since the epoch, with failed logins and bans.
_WEEK = [(int(NOW // HOUR) - hours, 4, 1) for hours in range(167, -1, -1)]
UPKEEP = Upkeep(
    hours={"sshd": _WEEK, "infisical-login": _WEEK},
    upgrades={"openssl": NOW - DAY},
    asked_at=NOW - HOUR,
    lists_at=NOW - HOUR,
    repositories={"local": (NOW, "")},
    releases=ReleaseRecord(NOW - DAY, (NewerRelease("redis", "1", "1.1"),)),
)
EXPECTED = Expectations(
    services=_SERVICES,
    served_name="secrets.example.com",
    backup_targets=("local",),
    repositories=(WatchedRepository("local", "directory", "/var/backups/infisical"),),
)
# What the first data node of three observes, with a fourth node without data.
CLUSTER = ClusterFacts(
    is_manager=True,
    has_quorum=True,
    leads=True,
    reports=True,
    nodes=(
        ObservedNode("a", "web-1", 1, reachability="leader"),
        ObservedNode("b", "web-2", 2, reachability="reachable"),
        ObservedNode("c", "web-3", 3, reachability="reachable"),
        ObservedNode("d", "web-4"),
    ),
    services={"infisical": (3, 3), "haproxy": (4, 4), "postgres-2": (1, 1), "etcd-2": (1, 1)},
    etcd={f"https://etcd-{number}:2381": "" for number in (1, 2, 3)},
    postgres=(
        PostgresMember("postgres-1", "leader", "running"),
        PostgresMember("postgres-2", "sync_standby", "streaming", 0),
        PostgresMember("postgres-3", "replica", "streaming", 1024),
    ),
    certificate_ends=NOW + 300 * DAY,
)


def observe(
    *,
    now: float = NOW,
    vitals: Vitals = VITALS,
    expected: Expectations = EXPECTED,
    history: History | None = None,
    cluster: ClusterFacts | None = None,
    upkeep: Upkeep = UPKEEP,
    **facts: Any,
) -> Observed:
    """Return the observed state of a healthy host, with some other facts."""
    return Observed(
        now,
        replace(HEALTHY, **facts),
        vitals,
        expected,
        history or History(),
        cluster or ClusterFacts(),
        upkeep,
    )
