"""Repair a cluster after a fault by `plan` and `apply`, and compare its state."""

from dataclasses import dataclass

from tests.cluster import reading
from tests.cluster.hosts import Cluster
from tests.cluster.state import State


@dataclass(frozen=True)
class Repair:
    """The plan, the operations of `apply` that changed something, the plan after it, and the
    differences from the state before the fault.
    """

    planned: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def wrong(self) -> list[str]:
        """Return sentences on everything that is wrong."""
        unreported = () if self.planned else self.changed
        return [
            *(f"`apply` changed what `plan` did not report: {each}" for each in unreported),
            *(f"the plan after `apply` is not empty: {each}" for each in self.unsettled),
            *(f"the state differs from the one before: {each}" for each in self.differences),
        ]


def repair(cluster: Cluster, before: State) -> Repair:
    """Repair a cluster if needed. Raises AssertionError if a run fails."""
    planned = cluster.plan()
    changed = cluster.deploy().ok().changed
    unsettled = cluster.plan()
    differences = reading.differing(cluster, before)
    return Repair(tuple(planned), tuple(changed), tuple(unsettled), tuple(differences))
