"""Wait, with a time limit, until a cluster has repaired itself."""

import re
import time
from collections.abc import Callable, Sequence

from tests.cluster.hosts import Cluster
from tests.staging.shell import StagingError

_SECONDS = 240.0
_SAME_SECONDS = 10.0

Missing = frozenset[str]


def ready(cluster: Cluster) -> None:
    """Wait until the Swarm reaches every host. Raises StagingError after four minutes."""
    until(cluster.unready)


def whole(cluster: Cluster) -> None:
    """Wait until the cluster is ready, each service has all tasks, and each standby follows.

    Raises StagingError after four minutes.
    """
    until(lambda: cluster.unready() or cluster.unhealthy())


def calm(cluster: Cluster) -> Missing:
    """Wait until the set of missing services no longer changes.

    Returns the set that still changes after four minutes; empty if it is stable. Services that only
    `apply` repairs stay missing.
    """
    begun, seen = time.monotonic(), list[tuple[float, Missing]]()
    while True:
        missing = frozenset(filter(None, cluster.unhealthy().split(", ")))
        seen.append((time.monotonic() - begun, missing))
        if at_rest(seen, _SAME_SECONDS):
            return frozenset()
        if seen[-1][0] > _SECONDS:
            return missing
        time.sleep(1)


def wait_for_item(cluster: Cluster, item: str) -> None:
    """Wait until the plan has a change that matches this expression.

    Raises StagingError after four minutes.
    """

    def missing() -> str:
        done = cluster.command("plan")
        return "" if re.search(item, done.stdout) else f"{item!r} in the plan: {done.stderr}"

    until(missing)


def at_rest(seen: Sequence[tuple[float, Missing]], seconds: float) -> bool:
    """Return whether nothing is missing, or the same services as before.

    A service that crashes repeatedly is missing now and then. So all services missing in the last
    seconds are compared with all services missing in as many seconds before.

    Args:
        seen: the observations, each with its time in seconds.
        seconds: the length of the two periods.
    """
    now, missing = seen[-1]
    if not missing:
        return True
    late = [each for moment, each in seen if moment > now - seconds]
    early = [each for moment, each in seen if now - 2 * seconds < moment <= now - seconds]
    long_enough = now - seen[0][0] >= 2 * seconds
    return long_enough and frozenset().union(*late) == frozenset().union(*early)


def until(missing: Callable[[], str]) -> None:
    """Wait until nothing is missing. Raises StagingError with the missing after four minutes."""
    end = time.monotonic() + _SECONDS
    while found := missing():
        if time.monotonic() > end:
            raise StagingError(f"after {_SECONDS:.0f} s the cluster still waits for {found}")
        time.sleep(1)
