"""The state of a host as the checks see it: what was observed, is expected and is remembered."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from infisical_iac.agent.health import BY_ITSELF, HealthFacts, parse_progress
from infisical_iac.agent.swarm import ClusterFacts
from infisical_iac.agent.upkeep import Upkeep, WatchedRepository
from infisical_iac.agent.vitals import Vitals

Severity = Literal["critical", "warning"]

MINUTE, HOUR, DAY = 60, 3600, 86400
# Docker starts the containers after a boot.
_BOOT_SECONDS = 3 * MINUTE
# Checks wait at most this long for a run of this project that holds the lock, or for a step of a
# change that goes on by itself.
_LONGEST_RUN = 2 * HOUR


@dataclass(frozen=True)
class Expectations:
    """The part of the settings that the checks need.

    Attributes:
        services: the services that must run as containers of the Compose project.
        served_name, port: the name and port of the certificate; no name if there is none to check.
        serves: whether this host must serve the certificate, rather than a proxy in front of it.
        is_short_lived: whether the certificate lives for hours only, and is renewed in time.
        backup_targets: the names of the targets that this host saves in.
        shared_targets: on a cluster, the names of the targets in which the swarm's leader saves.
        repositories: those that must answer.
        timers: the timers that must run.
        in_cluster: whether this host is a node of a cluster.
    """

    services: Sequence[str] = ()
    served_name: str = ""
    port: int = 443
    serves: bool = True
    is_short_lived: bool = False
    backup_targets: Sequence[str] = ()
    shared_targets: Sequence[str] = ()
    repositories: Sequence[WatchedRepository] = ()
    timers: Sequence[str] = ()
    in_cluster: bool = False


@dataclass(frozen=True)
class History:
    """The remembered observations.

    Attributes:
        starts: the recent times at which containers were started, by service.
        disk: the free bytes of the fullest disk, by the time of the observation.
        upkeep: the last observation of what a host needs over weeks.
        leads_since: since when this host is the swarm's leader; None if it is not.
        changed_at: when a run was at work last; 0.0 before the first observation.
        is_changing: whether one was at work at the last observation.
    """

    starts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    disk: Sequence[tuple[float, int]] = ()
    upkeep: Upkeep = field(default_factory=Upkeep)
    leads_since: float | None = None
    changed_at: float = 0.0
    is_changing: bool = False


@dataclass(frozen=True)
class Observed:
    """The input of the checks, as observed at the time `now`."""

    now: float
    facts: HealthFacts
    vitals: Vitals = field(default_factory=Vitals)
    expected: Expectations = field(default_factory=Expectations)
    history: History = field(default_factory=History)
    cluster: ClusterFacts = field(default_factory=ClusterFacts)
    upkeep: Upkeep = field(default_factory=Upkeep)

    @property
    def is_changing(self) -> bool:
        """True while a run of this project is at work, or the host has just booted."""
        taken = self.vitals.lock_taken or 0.0
        if self.facts.holder == BY_ITSELF:
            began = [parse_progress(each)[1] for each in self.facts.unfinished.values()]
            taken = max(taken, *began, 0.0)
        is_held = bool(self.facts.holder) and self.now - taken < _LONGEST_RUN
        return is_held or self.vitals.uptime < _BOOT_SECONDS


@dataclass(frozen=True)
class Problem:
    """A problem that a check found.

    Attributes:
        text: a sentence without a secret.
        subject: the affected object, such as a service; empty if there is only one.
        since: when it began, if that is known.
        wait: the seconds that it must last before it is an alert, if more than those of its check.
    """

    text: str
    subject: str = ""
    since: float | None = None
    wait: int = 0


@dataclass(frozen=True)
class Check:
    """A row of the table.

    Attributes:
        title: the problem in a few words, without its subject.
        remedy: what to do.
        find: yields the problems, given what was observed and the threshold.
        threshold: a number in the `unit`; 0 for none.
        wait: the seconds that a problem must last before it is an alert.
        waits_for_runs: whether it begins and ends no alert while a run is at work on the host.
    """

    name: str
    severity: Severity
    title: str
    remedy: str
    find: Callable[[Observed, float], Iterable[Problem]]
    threshold: float = 0
    unit: str = ""
    wait: int = 0
    waits_for_runs: bool = False
