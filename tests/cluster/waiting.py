"""Waiting, bounded, for what a cluster does by itself."""

import time
from collections.abc import Callable

from tests.cluster.hosts import Cluster
from tests.staging.shell import StagingError

_SECONDS = 240.0
_SAME_SECONDS = 15.0


def ready(cluster: Cluster) -> None:
    """Wait until the Swarm has every host again; raises StagingError after four minutes."""
    _until(cluster.unready)


def whole(cluster: Cluster) -> None:
    """Wait until, besides, each service has all its tasks and each standby follows the primary.

    Raises StagingError after four minutes.
    """
    _until(lambda: cluster.unready() or cluster.unwell())


def calm(cluster: Cluster) -> None:
    """Wait until nothing is missing, or what is has been the same for some time.

    What nobody but `apply` brings back stays missing.
    """
    end, since, last = time.monotonic() + _SECONDS, time.monotonic(), ""
    while missing := cluster.unwell():
        now = time.monotonic()
        if missing != last:
            since, last = now, missing
        if now - since > _SAME_SECONDS or now > end:
            return
        time.sleep(1)


def _until(missing: Callable[[], str]) -> None:
    end = time.monotonic() + _SECONDS
    while found := missing():
        if time.monotonic() > end:
            raise StagingError(f"after {_SECONDS:.0f} s the cluster still waits for {found}")
        time.sleep(1)
