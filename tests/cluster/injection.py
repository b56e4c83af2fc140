"""Inject a fault, with a client before, during and after it, until `apply` has repaired it."""

from tests.cluster import reading, waiting
from tests.cluster.client import Client
from tests.cluster.faults import FAULTS
from tests.cluster.hosts import Cluster
from tests.cluster.place import Place
from tests.cluster.repair import Repair, repair
from tests.cluster.result import Result
from tests.cluster.watch import Watch, find_overlaps
from tests.staging.shell import StagingError, say

_BEFORE_SECONDS = 3.0
STEADY_SECONDS = 8.0
_WITHIN_SECONDS = 150.0


def inject(cluster: Cluster, fault: str) -> Result:
    """Inject a fault into a converged cluster, and let `apply` repair the rest.

    Raises AssertionError if a run of the deploy fails. Raises StagingError if hosts that run again
    do not form a cluster, or if the cluster does not converge.
    """
    waiting.whole(cluster)
    before = reading.whole(cluster)
    nodes = cluster.nodes()
    place = Place(cluster.credentials()).set_up(nodes[0])
    with Watch(cluster.postmaster, cluster.numbers) as watch, Client(nodes, place) as client:
        moment, over, came_back = _strike(cluster, fault, client)
        restless = _list_unstable(cluster, client)
        repaired = repair(cluster, before)
    report = client.report()
    _report(fault, report.describe_outages(moment), _reasons(client), repaired)
    place.log_in(nodes[0])
    lost = {name for node in nodes for name in client.list_lost(node)}
    return Result(
        fault,
        report,
        moment,
        over,
        came_back,
        restless=tuple(restless),
        lost=tuple(sorted(lost)),
        doubled=tuple(find_overlaps(watch.answers)),
        blind=tuple(watch.blind()),
        repair=repaired,
    )


def _strike(cluster: Cluster, fault: str, client: Client) -> tuple[float, float, bool]:
    """Return when the fault began and ended, and whether service was back before the end."""
    if not client.steady(_BEFORE_SECONDS, _WITHIN_SECONDS):
        raise StagingError(
            f"within {_WITHIN_SECONDS:.0f} s there were no {_BEFORE_SECONDS:.0f} s of writes and "
            "reads without an outage, and nothing had been done yet: repair the cluster first"
        )
    moment = client.now()
    say(f"{fault}: injecting it")
    undo = FAULTS[fault].strike(cluster)
    try:
        came_back = client.steady(STEADY_SECONDS, _WITHIN_SECONDS)
    finally:
        say(f"{fault}: undoing it")
        over = client.now()
        undo()
    return moment, over, came_back


def _list_unstable(cluster: Cluster, client: Client) -> list[str]:
    """Return sentences on everything that does not become stable after the fault is undone."""
    waiting.ready(cluster)
    found = []
    if moving := waiting.calm(cluster):
        found.append(f"the missing services keep changing: {', '.join(sorted(moving))}")
    if not client.steady(STEADY_SECONDS, _WITHIN_SECONDS):
        found.append(
            f"after the fault was undone there were no {STEADY_SECONDS:.0f} s of writes and reads "
            f"without an outage within {_WITHIN_SECONDS:.0f} s"
        )
    return found


def _report(fault: str, outages: list[str], reasons: list[str], repaired: Repair) -> None:
    changed = [f"`apply` changed: {each}" for each in repaired.changed]
    for line in (*outages, *reasons, *repaired.planned, *changed, *repaired.differences):
        say(f"{fault}: {line}")


def _reasons(client: Client) -> list[str]:
    return [f"{count} times {why}" for why, count in client.ledger.reasons()]
