"""Test which hosts get the leader's state, and under which serial."""

from dataclasses import replace

from infisical_iac.cluster import shared_state
from infisical_iac.cluster.shared_state import Sharing, claim, plan_sharing
from infisical_iac.cluster.swarm_state import SwarmState
from tests.unit.cluster.observed import NAMES, bare, cluster_of, converged, member

_LEADER = SwarmState(serial=4, serial_as_leader=4, digest="state")
_OTHER = SwarmState(serial=4, digest="state")
_NEW = SwarmState()


def test_hosts_with_one_state_and_serial_need_no_copy() -> None:
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": _OTHER}) == Sharing(4, ())


def test_a_leader_with_changes_raises_the_serial_for_all() -> None:
    changed = replace(_LEADER, digest="changed")
    found = plan_sharing(changed, {"two": _OTHER, "three": _OTHER})
    assert found == Sharing(5, ("two", "three"))


def test_a_returning_host_gets_the_state_under_the_current_serial() -> None:
    stale = replace(_OTHER, serial=3, digest="older")
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": stale}) == Sharing(4, ("three",))


def test_a_new_host_gets_the_state() -> None:
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": _NEW}) == Sharing(4, ("three",))


def test_a_host_with_an_altered_state_is_corrected() -> None:
    wrong = replace(_OTHER, digest="meddled")
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": wrong}) == Sharing(5, ("two", "three"))


def test_an_interrupted_copy_is_completed() -> None:
    raised = replace(_LEADER, serial=5, serial_as_leader=5, digest="changed")
    reached = replace(_OTHER, serial=5, digest="changed")
    torn = replace(_OTHER, serial=0, digest="torn")
    found = plan_sharing(raised, {"two": reached, "three": torn})
    assert found == Sharing(5, ("three",))


def test_an_empty_state_is_not_shared() -> None:
    assert plan_sharing(_NEW, {"two": _NEW}) == Sharing(0, ())


def test_the_last_leader_keeps_its_serial() -> None:
    assert claim(_LEADER, {"two": _OTHER}) == 4


def test_a_new_leader_has_a_higher_serial_than_the_former_one() -> None:
    assert claim(_OTHER, {"three": _OTHER}) == 5
    assert claim(_NEW, {"two": _NEW}) == 1


def test_a_leader_exceeds_a_higher_serial_of_a_worker() -> None:
    assert claim(_LEADER, {"four": replace(_OTHER, serial=7)}) == 8


def test_a_node_without_data_gets_no_secret() -> None:
    names = (*NAMES, "four")
    observed = converged(*(member(number, name) for number, name in enumerate(names, 1)))
    cluster = cluster_of(observed, inventory=names)
    assert shared_state._of(cluster, observed)[1].keys() == {"two", "three"}


def test_a_future_data_node_gets_the_state() -> None:
    lost = converged(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed = {name: lost[name] for name in ("one", "three")} | {"four": bare(4)}
    cluster = cluster_of(observed, inventory=("one", "four", "three"))
    assert shared_state._of(cluster, observed)[1].keys() == {"three", "four"}
