"""Waiting, bounded, for what a cluster does by itself."""

import re
import time
from collections.abc import Callable, Sequence

from tests.cluster.hosts import Cluster
from tests.staging.shell import StagingError

_SECONDS = 240.0
_SAME_SECONDS = 10.0

Missing = frozenset[str]


def ready(cluster: Cluster) -> None:
    """Wait until the Swarm has every host again; raises StagingError after four minutes."""
    until(cluster.unready)


def whole(cluster: Cluster) -> None:
    """Wait until, besides, each service has all its tasks and each standby follows the primary.

    Raises StagingError after four minutes.
    """
    until(lambda: cluster.unready() or cluster.unwell())


def calm(cluster: Cluster) -> Missing:
    """Wait until nothing is missing, or what is has been the same for some time.

    What nobody but `apply` brings back stays missing. Returns what is missing where it still
    changes after four minutes, else nothing.
    """
    begun, seen = time.monotonic(), list[tuple[float, Missing]]()
    while True:
        missing = frozenset(filter(None, cluster.unwell().split(", ")))
        seen.append((time.monotonic() - begun, missing))
        if at_rest(seen, _SAME_SECONDS):
            return frozenset()
        if seen[-1][0] > _SECONDS:
            return missing
        time.sleep(1)


def told(cluster: Cluster, item: str) -> None:
    """Wait until the plan has an item like this expression.

    Raises StagingError after four minutes.
    """

    def missing() -> str:
        done = cluster.command("plan")
        return "" if re.search(item, done.stdout) else f"{item!r} in the plan: {done.stderr}"

    until(missing)


def at_rest(seen: Sequence[tuple[float, Missing]], seconds: float) -> bool:
    """Return whether nothing is missing, or just the same as before, by what was seen at which
    time.

    What starts and dies again and again is missing now and then: all that was missing in the last
    seconds is compared with all that was in as many before.
    """
    now, missing = seen[-1]
    if not missing:
        return True
    late = [each for moment, each in seen if moment > now - seconds]
    early = [each for moment, each in seen if now - 2 * seconds < moment <= now - seconds]
    long_enough = now - seen[0][0] >= 2 * seconds
    return long_enough and frozenset().union(*late) == frozenset().union(*early)


def until(missing: Callable[[], str]) -> None:
    """Wait until nothing is missing; raises StagingError with what is after four minutes."""
    end = time.monotonic() + _SECONDS
    while found := missing():
        if time.monotonic() > end:
            raise StagingError(f"after {_SECONDS:.0f} s the cluster still waits for {found}")
        time.sleep(1)
