"""Define a fault, and how soon service must be back after it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.cluster.hosts import Cluster

Undo = Callable[[], None]
# Of one node or one thing, and of a node that comes back.
ONE_FAULT_SECONDS = 30.0


@dataclass(frozen=True)
class Fault:
    """Something that is done to a cluster.

    `strike` does it and returns what undoes it. Service must be back `within` so many seconds from
    its beginning; where that is not the bound of one fault, `because` says why.
    """

    strike: Callable[[Cluster], Undo]
    within: float = ONE_FAULT_SECONDS
    because: str = ""

    @property
    def name(self) -> str:
        """Return what it is called on the command line."""
        return self.strike.__name__

    @property
    def title(self) -> str:
        """Return what it does, without a full stop."""
        return (self.strike.__doc__ or "").strip().rstrip(".")
