"""Test faults on a fake cluster, and their repair."""

import pytest

from tests.cluster import injection, reading
from tests.cluster.fault import Fault, Undo
from tests.cluster.faults import FAULTS
from tests.cluster.hosts import Cluster
from tests.cluster.nodes import Node
from tests.cluster.place import Place
from tests.cluster.repair import Repair, repair
from tests.staging.shell import StagingError
from tests.unit.fake_nodes import FakeApiNode
from tests.unit.faulty_cluster import FaultyCluster

_DRAINED = "node a-1: manager, active, ready, no vote → manager, drain, ready, no vote"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_SECONDS", 0.0)
    monkeypatch.setattr(injection, "_BEFORE_SECONDS", 0.5)
    monkeypatch.setattr(injection, "STEADY_SECONDS", 0.5)
    monkeypatch.setattr(injection, "_WITHIN_SECONDS", 4.0)


@pytest.fixture
def cluster(nodes: list[FakeApiNode]) -> FaultyCluster:
    return FaultyCluster(reached=[each.node for each in nodes])


def replace_fault(monkeypatch: pytest.MonkeyPatch, cluster: FaultyCluster) -> None:
    """Replace the fault `node_drained`: drain a node of a fake cluster, and move its primary."""

    def node_drained(_: Cluster) -> Undo:
        cluster.availability, cluster.primary = "drain", 2
        return lambda: None

    monkeypatch.setitem(FAULTS, "node_drained", Fault(node_drained))


def test_apply_is_run_after_an_empty_plan_too(cluster: FaultyCluster) -> None:
    before = reading.whole(cluster.as_cluster())
    cluster.applied = ["Stack | Roll out"]
    assert repair(cluster.as_cluster(), before) == Repair(changed=("Stack | Roll out",))


def test_a_fault_that_apply_repairs_leaves_no_difference(
    monkeypatch: pytest.MonkeyPatch, cluster: FaultyCluster
) -> None:
    replace_fault(monkeypatch, cluster)
    cluster.plans, cluster.applied = [["~ node a-1: drained → active"]], ["Swarm | Join the nodes"]
    result = injection.inject(cluster.as_cluster(), "node_drained")
    assert result.wrong == []
    assert (len(result.repair.planned), len(result.repair.changed)) == (1, 1)


def test_an_incomplete_repair_is_reported(
    monkeypatch: pytest.MonkeyPatch, cluster: FaultyCluster
) -> None:
    replace_fault(monkeypatch, cluster)
    cluster.stubborn, cluster.plans = True, [["a"], ["b"]]
    result = injection.inject(cluster.as_cluster(), "node_drained")
    assert (result.repair.unsettled, result.repair.differences) == (("b",), (_DRAINED,))
    unsettled, difference = result.wrong
    assert unsettled.endswith(": b")
    assert difference.endswith(f": {_DRAINED}")


def test_no_fault_is_caused_in_a_cluster_that_does_not_serve(
    cluster: FaultyCluster, nodes: list[FakeApiNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_fault(monkeypatch, cluster)
    monkeypatch.setattr(injection, "_BEFORE_SECONDS", 2.5)
    set_up = Place.set_up

    def down_from_now(self: Place, _: Node) -> Place:
        done = set_up(self, nodes[0].node)
        for each in nodes:
            each.down = True
        return done

    monkeypatch.setattr(Place, "set_up", down_from_now)
    with pytest.raises(StagingError, match="repair the cluster first"):
        injection.inject(cluster.as_cluster(), "node_drained")
    assert cluster.availability == "active"


def test_no_fault_is_caused_in_an_incomplete_cluster(cluster: FaultyCluster) -> None:
    cluster.primary = 0
    with pytest.raises(StagingError, match=r"not healthy: PostgreSQL: 1 primary, .* → 0 primary, "):
        injection.inject(cluster.as_cluster(), "node_drained")
