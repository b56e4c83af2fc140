"""Whom the lead's state goes to, and by which number; what becomes of hosts that were away."""

from dataclasses import replace

from infisical_iac.cluster import shared_state
from infisical_iac.cluster.shared_state import Sharing, claim, plan_sharing
from infisical_iac.cluster.swarm_state import SwarmState
from tests.unit.cluster.observed import NAMES, bare, cluster_of, converged, member

_LEADER = SwarmState(serial=4, serial_as_leader=4, digest="state")
_OTHER = SwarmState(serial=4, digest="state")
_NEW = SwarmState()


def test_hosts_with_one_state_and_serial_are_settled() -> None:
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": _OTHER}) == Sharing(4, ())


def test_a_lead_that_has_changed_something_raises_the_serial_for_all() -> None:
    changed = replace(_LEADER, digest="changed")
    found = plan_sharing(changed, {"two": _OTHER, "three": _OTHER})
    assert found == Sharing(5, ("two", "three"))


def test_a_host_that_was_away_gets_the_state_under_the_serial_that_is() -> None:
    stale = replace(_OTHER, serial=3, digest="older")
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": stale}) == Sharing(4, ("three",))


def test_a_new_host_gets_it_too() -> None:
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": _NEW}) == Sharing(4, ("three",))


def test_a_host_that_was_meddled_with_is_set_right() -> None:
    wrong = replace(_OTHER, digest="meddled")
    assert plan_sharing(_LEADER, {"two": _OTHER, "three": wrong}) == Sharing(5, ("two", "three"))


def test_a_sharing_that_was_interrupted_is_ended() -> None:
    raised = replace(_LEADER, serial=5, serial_as_leader=5, digest="changed")
    reached = replace(_OTHER, serial=5, digest="changed")
    torn = replace(_OTHER, serial=0, digest="torn")
    found = plan_sharing(raised, {"two": reached, "three": torn})
    assert found == Sharing(5, ("three",))


def test_nothing_is_shared_before_there_is_something() -> None:
    assert plan_sharing(_NEW, {"two": _NEW}) == Sharing(0, ())


def test_the_one_that_led_leads_on_by_its_serial() -> None:
    assert claim(_LEADER, {"two": _OTHER}) == 4


def test_a_new_lead_has_a_higher_serial_than_the_one_that_may_come_back() -> None:
    assert claim(_OTHER, {"three": _OTHER}) == 5
    assert claim(_NEW, {"two": _NEW}) == 1


def test_a_lead_rises_above_a_worker_that_somehow_has_more() -> None:
    assert claim(_LEADER, {"four": replace(_OTHER, serial=7)}) == 8


def test_a_node_that_keeps_no_data_gets_no_secret() -> None:
    names = (*NAMES, "four")
    observed = converged(*(member(number, name) for number, name in enumerate(names, 1)))
    cluster = cluster_of(observed, inventory=names)
    assert shared_state._of(cluster, observed)[1].keys() == {"two", "three"}


def test_one_that_is_about_to_keep_data_gets_what_is_shared() -> None:
    lost = converged(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed = {name: lost[name] for name in ("one", "three")} | {"four": bare(4)}
    cluster = cluster_of(observed, inventory=("one", "four", "three"))
    assert shared_state._of(cluster, observed)[1].keys() == {"three", "four"}
