"""The repair after a fault: `plan`, `apply` whatever it told, and whether all is as it was."""

from dataclasses import dataclass

from tests.cluster import reading
from tests.cluster.hosts import Cluster
from tests.cluster.state import State


@dataclass(frozen=True)
class Repair:
    """Hold what `plan` told, the operations of `apply` that changed something, what `plan` told
    then, and how the cluster differs from what it was before the fault.
    """

    planned: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def wrong(self) -> list[str]:
        """Return what must not be so, as sentences."""
        untold = () if self.planned else self.changed
        return [
            *(f"`apply` changed what `plan` did not tell: {each}" for each in untold),
            *(f"the plan after `apply` is not empty: {each}" for each in self.unsettled),
            *(f"it is not as it was before: {each}" for each in self.differences),
        ]


def repair(cluster: Cluster, before: State) -> Repair:
    """Repair a cluster, or find that there is nothing to; raises AssertionError if that fails."""
    planned = cluster.planned()
    changed = cluster.deploy().ok().changed
    unsettled = cluster.planned()
    differences = reading.differing(cluster, before)
    return Repair(tuple(planned), tuple(changed), tuple(unsettled), tuple(differences))
