"""Assess what became of a fault, and what of it must never be so. Pure."""

from dataclasses import dataclass, field

from tests.cluster.client import Report
from tests.cluster.fault import ONE_FAULT_SECONDS
from tests.cluster.faults import FAULTS
from tests.cluster.ledger import Outage, back_after
from tests.cluster.repair import Repair


@dataclass(frozen=True)
class Result:
    """Hold what became of a fault.

    It struck at `moment` and was undone at `over`, by the report's clock; the report ends after
    the repair. `came_back` is whether service was there again before anything was undone,
    `restless` tells what did not become steady after it was. `lost` are acknowledged writes that a
    node doesn't have, `doubled` tells which hosts were primaries at the same time, `blind` of which
    hosts too little is known for that.
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
        """Seconds from the fault until service was back, however often it went before `over`."""
        return back_after([each for each in self._outages if each.began < self.over], self.moment)

    @property
    def within(self) -> float:
        """The bound of that."""
        return FAULTS[self.fault].within

    @property
    def later(self) -> float:
        """The longest time without a write, or a read, that began after `over`, in seconds."""
        return max((each.seconds for each in self._outages if each.began >= self.over), default=0.0)

    @property
    def wrong(self) -> list[str]:
        """Return what must never happen and did, as sentences; times apart."""
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
        """Return what took longer than its bound, as sentences.

        Args:
            times: how often the bounds are granted, on a machine that has much else to do.
        """
        # Who comes back is one node, and must not cost more than its going did.
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
