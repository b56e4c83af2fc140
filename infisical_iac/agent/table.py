"""The table of checks on a host, from which its alerts and the rules for Prometheus are made.

To add a check, write a function in `checks.py` that yields the problems in an `Observed`, and add
a row here. `make docs` generates docs/reference/alerts.md and the rules.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from infisical_iac.agent import checks
from infisical_iac.agent.observed import HOUR, MINUTE, Observed, Problem

Severity = Literal["critical", "warning"]


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


# Alerts of this check never go to the target that they are about.
DELIVERY = "delivery"
# The checks that see nothing without Docker.
OF_CONTAINERS = ("container", "flapping")
# The checks that report the failures of the host's own jobs.
OF_JOBS = ("backup", "drill", "firewall", "units")

CHECKS: tuple[Check, ...] = (
    Check(
        "docker",
        "critical",
        "Docker does not answer",
        "run `systemctl status docker` on the host, and `infisical-iac apply`",
        checks.find_docker,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "container",
        "critical",
        "a container of the stack is down or unhealthy",
        "run `infisical-iac status`, then `infisical-iac apply`, which starts it again",
        checks.find_containers,
        threshold=45,
        unit="s",
        waits_for_runs=True,
    ),
    Check(
        "flapping",
        "warning",
        "a container of the stack starts again and again",
        "read its log on the host: `docker compose --project-name infisical logs`",
        checks.find_flapping,
        threshold=3,
        unit="starts in 15 min",
        waits_for_runs=True,
    ),
    Check(
        "canary",
        "critical",
        "the canary can't log in, or write, read and delete a secret",
        "run `infisical-iac verify`, then `infisical-iac apply`, which makes a lost login again",
        checks.find_canary,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "canary_slow",
        "warning",
        "Infisical answers slowly through the public address",
        "see `docker stats` and `top` on the host, and use a larger server",
        checks.find_slow_canary,
        threshold=5,
        unit="s",
        wait=10 * MINUTE,
        waits_for_runs=True,
    ),
    Check(
        "edge",
        "critical",
        "the edge stays closed",
        "run `infisical-iac status`, which says how to end the change that has closed it",
        checks.find_edge,
        threshold=900,
        unit="s",
        waits_for_runs=True,
    ),
    Check(
        "firewall",
        "critical",
        "the firewall's rules are not in effect",
        "run `infisical-iac apply`",
        checks.find_firewall,
        waits_for_runs=True,
    ),
    Check(
        "disk",
        "critical",
        "the disk is nearly full",
        "make room before the database stops: `docker system df` and `du -x /var` on the host "
        "show what takes the space",
        checks.find_disk,
        threshold=2,
        unit="GB free",
    ),
    Check(
        "disk_growth",
        "warning",
        "the disk will soon be full",
        "find what grows, by `du -x /var` on the host, or enlarge the disk or the volume",
        checks.find_disk_growth,
        threshold=3,
        unit="days left",
    ),
    Check(
        "memory",
        "warning",
        "the memory is nearly used up",
        "see `docker stats` on the host, and use a larger server",
        checks.find_memory,
        threshold=5,
        unit="% available",
        wait=10 * MINUTE,
    ),
    Check(
        "swap",
        "warning",
        "the swap is nearly used up",
        "see `docker stats` on the host, and use a larger server",
        checks.find_swap,
        threshold=80,
        unit="% in use",
        wait=10 * MINUTE,
    ),
    Check(
        "load",
        "warning",
        "the processors are overloaded",
        "see `top` on the host, and use a larger server",
        checks.find_load,
        threshold=4,
        unit="per processor, 15 min",
    ),
    Check(
        "certificate",
        "critical",
        "the certificate is missing or ends soon",
        "read `infisical-iac docs ingress`, and run `docker logs infisical-caddy-1` on the host",
        checks.find_certificate,
        threshold=14,
        unit="days left",
        wait=15 * MINUTE,
        waits_for_runs=True,
    ),
    Check(
        "credentials",
        "warning",
        "a client secret ends soon",
        "run `infisical-iac credentials rotate`",
        checks.find_credentials,
        threshold=14,
        unit="days left",
    ),
    Check(
        "backup",
        "critical",
        "the last backup failed",
        "run `infisical-iac backup now`, which reports the reason",
        checks.find_backup,
    ),
    Check(
        "backup_age",
        "critical",
        "a target has no recent backup",
        "run `infisical-iac backup now`",
        checks.find_backup_age,
        threshold=26,
        unit="hours",
    ),
    Check(
        "drill",
        "warning",
        "the last drill failed",
        "run `infisical-iac restore --drill`, which reports the reason",
        checks.find_drill,
    ),
    Check(
        "drill_age",
        "warning",
        "no drill has succeeded for a long time",
        "run `infisical-iac restore --drill`",
        checks.find_drill_age,
        threshold=35,
        unit="days",
    ),
    Check(
        "recovery_kit",
        "warning",
        "the recovery kit is missing or stale",
        "run `infisical-iac recovery-kit`",
        checks.find_kit,
        threshold=24,
        unit="hours after the first deploy",
        wait=15 * MINUTE,
        waits_for_runs=True,
    ),
    Check(
        "units",
        "warning",
        "a unit of systemd has failed",
        "run `systemctl status` with its name on the host; once it is repaired, "
        "`systemctl reset-failed`",
        checks.find_units,
        wait=MINUTE // 2,
    ),
    Check(
        "timers",
        "warning",
        "a timer has stopped",
        "run `infisical-iac apply`, which starts it",
        checks.find_timers,
        wait=MINUTE // 2,
        waits_for_runs=True,
    ),
    Check(
        "reboot",
        "warning",
        "a reboot is due",
        "reboot the host, or set `automatic_reboot` and `maintenance_window`",
        checks.find_reboot,
        threshold=8,
        unit="days",
    ),
    Check(
        "transaction",
        "critical",
        "a change was interrupted",
        "run `infisical-iac status`, which says how to end it",
        checks.find_transactions,
        wait=10 * MINUTE,
        waits_for_runs=True,
    ),
    Check(
        "clock",
        "warning",
        "the clock is not synchronized",
        "run `timedatectl status` on the host",
        checks.find_clock,
        wait=HOUR,
    ),
    Check(
        "lock",
        "warning",
        "a run of infisical-iac does not end",
        "run `infisical-iac status`, which names it, then `infisical-iac apply --break-lock`",
        checks.find_lock,
        threshold=2,
        unit="hours",
    ),
    Check(
        "sign_up",
        "critical",
        "sign-up is open",
        "run `infisical-iac apply`, which closes it, then look for accounts that nobody knows",
        checks.find_sign_up,
        waits_for_runs=True,
    ),
    Check(
        "access",
        "critical",
        "somebody has access, or is an administrator, that nothing declares",
        "see `infisical-iac status`, and remove it in Infisical, or declare it as in "
        "docs/develop/access.md",
        checks.find_access,
        waits_for_runs=True,
    ),
    Check(
        "drift",
        "warning",
        "the last `infisical-iac drift` found differences",
        "run `infisical-iac plan`, then `infisical-iac apply`",
        checks.find_drift,
        waits_for_runs=True,
    ),
    Check(
        "drift_age",
        "warning",
        "`infisical-iac drift` has not run for long",
        "see docs/operate/alerts.md#drift, and the job or timer that runs it",
        checks.find_drift_age,
        threshold=26,
        unit="hours",
    ),
    Check(
        DELIVERY,
        "warning",
        "alerts can't be delivered to a target",
        "check its address in the setting `alerts`",
        checks.find_delivery,
        threshold=5,
        unit="min",
    ),
)
NAMES = frozenset(each.name for each in CHECKS)
