"""A fault suffered: a client before, during and after it, then the repair by `apply`."""

from dataclasses import dataclass

from tests.cluster import waiting
from tests.cluster.client import Client, Report
from tests.cluster.faults import FAULTS
from tests.cluster.hosts import Cluster
from tests.cluster.ledger import Outage, back_after
from tests.cluster.place import Place
from tests.cluster.watch import Watch, doubled
from tests.staging.shell import say

_BEFORE_SECONDS = 3.0
STEADY_SECONDS = 8.0
_WITHIN_SECONDS = 150.0


@dataclass(frozen=True)
class Result:
    """What became of a fault.

    It struck at `moment` and was undone at `over`, by the report's clock. `came_back` is whether
    service was there again before anything was undone. `lost` are acknowledged writes that a node
    doesn't have, `doubled` the samples with two primaries, `planned` what `plan` told afterwards,
    which `apply` then repaired; `unsettled` is what it told after that.
    """

    fault: str
    report: Report
    moment: float
    over: float
    came_back: bool
    lost: tuple[str, ...]
    doubled: tuple[tuple[int, ...], ...]
    planned: tuple[str, ...]
    unsettled: tuple[str, ...]

    @property
    def back_after(self) -> float:
        """Seconds from the fault until service was back, however often it went before `over`."""
        return back_after([each for each in self._outages if each.began < self.over], self.moment)

    @property
    def later(self) -> float:
        """The longest time without a write, or a read, that began after `over`, in seconds."""
        return max((each.seconds for each in self._outages if each.began >= self.over), default=0.0)

    @property
    def _outages(self) -> tuple[Outage, ...]:
        return (*self.report.write_outages, *self.report.read_outages)

    @property
    def wrong(self) -> list[str]:
        """What must never happen and did, as sentences."""
        found = {
            f"{len(self.lost)} acknowledged writes are lost": self.lost,
            f"{len(self.report.wrong_reads)} reads were wrong": self.report.wrong_reads,
            "there were two primaries": self.doubled,
            "service did not come back by itself": not self.came_back,
            "the plan after `apply` is not empty": self.unsettled,
        }
        return [sentence for sentence, is_so in found.items() if is_so]


def suffer(cluster: Cluster, fault: str) -> Result:
    """Have a settled cluster suffer a fault, and `apply` repair what it does not repair itself.

    Raises AssertionError where a run of the deploy fails, StagingError where hosts that run
    again don't find together.
    """
    waiting.whole(cluster)
    nodes = cluster.nodes()
    place = Place(cluster.credentials()).set_up(nodes[0])
    with Watch(cluster.primaries) as watch, Client(nodes, place) as client:
        client.steady(_BEFORE_SECONDS, _WITHIN_SECONDS)
        moment = client.now()
        say(f"{fault}: it strikes")
        undo = FAULTS[fault](cluster)
        try:
            came_back = client.steady(STEADY_SECONDS, _WITHIN_SECONDS)
        finally:
            say(f"{fault}: it is over")
            over = client.now()
            undo()
        waiting.ready(cluster)
        waiting.calm(cluster)
        client.steady(STEADY_SECONDS, _WITHIN_SECONDS)
    report = client.report()
    for line in (*report.told(moment), *_reasons(client)):
        say(f"{fault}: {line}")
    planned = cluster.planned()
    for line in planned:
        say(f"{fault}: {line}")
    if planned:
        cluster.deploy().ok()
    unsettled = cluster.planned() if planned else []
    place.log_in(nodes[0])
    lost = {name for node in nodes for name in client.lost(node)}
    return Result(
        fault,
        report,
        moment,
        over,
        came_back,
        tuple(sorted(lost)),
        tuple(doubled(watch.samples)),
        tuple(planned),
        tuple(unsettled),
    )


def _reasons(client: Client) -> list[str]:
    return [f"{count} times {why}" for why, count in client.ledger.reasons()]
