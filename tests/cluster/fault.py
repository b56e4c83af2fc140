"""Define a fault, and how soon service must be back after it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.cluster.hosts import Cluster

Undo = Callable[[], None]
# The bound for a fault of one node or service, and for a node that comes back.
ONE_FAULT_SECONDS = 30.0


@dataclass(frozen=True)
class Fault:
    """A fault to inject into a cluster.

    `strike` injects it and returns the function that undoes it. Service must be back `within` so
    many seconds from its beginning; if that is not the bound of a single fault, `because` gives
    the reason.
    """

    strike: Callable[[Cluster], Undo]
    within: float = ONE_FAULT_SECONDS
    because: str = ""

    @property
    def name(self) -> str:
        """The name of the fault on the command line."""
        return self.strike.__name__

    @property
    def title(self) -> str:
        """The description of the fault, without a full stop."""
        return (self.strike.__doc__ or "").strip().rstrip(".")
