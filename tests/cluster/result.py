"""Assess the result of a fault, by pure functions."""

from dataclasses import dataclass, field

from tests.cluster.client import Report
from tests.cluster.fault import ONE_FAULT_SECONDS
from tests.cluster.faults import FAULTS
from tests.cluster.ledger import Outage, back_after
from tests.cluster.repair import Repair


@dataclass(frozen=True)
class Result:
    """The result of a fault.

    The fault was injected at `moment` and undone at `over`, by the report's clock; the report ends
    after the repair. `came_back` is whether service was back before the fault was undone;
    `restless` lists the parts that did not become stable afterwards. `lost` are acknowledged writes
    that a node doesn't have, `doubled` the hosts that were primaries at the same time, `blind` the
    hosts with too few answers to exclude two primaries.
    """

    fault: str
    report: Report
    moment: float
    over: float
    came_back: bool
    restless: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    repair: Repair = field(default_factory=Repair)

    @property
    def back_after(self) -> float:
        """Return the seconds from the fault to the end of the last outage begun before `over`."""
        return back_after([each for each in self._outages if each.began < self.over], self.moment)

    @property
    def within(self) -> float:
        """Return the bound of `back_after`."""
        return FAULTS[self.fault].within

    @property
    def later(self) -> float:
        """Return the longest time without a write or read that began after `over`, in seconds."""
        return max((each.seconds for each in self._outages if each.began >= self.over), default=0.0)

    @property
    def wrong(self) -> list[str]:
        """Return sentences on the results that must never happen, except for times."""
        found = {
            f"{len(self.lost)} acknowledged writes are lost": self.lost,
            f"{len(self.report.wrong_reads)} reads were wrong": self.report.wrong_reads,
            "service did not come back by itself": not self.came_back,
        }
        return [
            *(sentence for sentence, is_so in found.items() if is_so),
            *(f"there were two primaries: {each}" for each in self.doubled),
            *(f"whether there were two primaries is not known: {each}" for each in self.blind),
            *self.restless,
            *self.repair.wrong,
        ]

    def late(self, times: float = 1.0) -> list[str]:
        """Return sentences on the times that exceed their bounds.

        Args:
            times: a factor for the bounds, on a busy machine.
        """
        # The return of one node must not cost more than its failure.
        bound, later = self.within * times, ONE_FAULT_SECONDS * times
        found = {
            f"service was back after {self.back_after:.1f} s, and has {bound:.0f} s for it": (
                self.came_back and self.back_after > bound
            ),
            f"service paused for {self.later:.1f} s while the fault was undone and repaired, "
            f"and has {later:.0f} s for it": self.later > later,
        }
        return [sentence for sentence, is_so in found.items() if is_so]

    @property
    def _outages(self) -> tuple[Outage, ...]:
        return (*self.report.write_outages, *self.report.read_outages)
