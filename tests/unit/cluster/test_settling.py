"""Managers that have just started, and that are about to find together."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.cluster.model import is_settling
from infisical_iac.cluster.swarm_state import SwarmState
from infisical_iac.core.errors import Refused
from tests.unit.cluster.observed import cluster_of, converged, member, three, three_bare


def _alone(look: SwarmState, **changes: Any) -> SwarmState:
    """A manager that does not know yet who the others are."""
    return replace(look, control=False, members=(), swarm="", **changes)


def test_a_settled_cluster_and_new_hosts_are_not_waited_for() -> None:
    assert not is_settling(three())
    assert not is_settling(three_bare())


def test_managers_without_a_leader_are_waited_for() -> None:
    assert is_settling({name: _alone(look) for name, look in three().items()})


def test_a_host_that_was_away_does_not_lead_before_those_with_a_newer_state_are_there() -> None:
    observed = three()
    observed["one"] = replace(observed["one"], serial=2, serial_as_leader=2)
    observed |= {name: _alone(observed[name]) for name in ("two", "three")}
    assert is_settling(observed)
    with pytest.raises(Refused, match=r"^one has an older state than two and three, which"):
        cluster_of(observed)


@pytest.mark.parametrize(("down", "waited"), [(False, True), (True, False)])
def test_the_host_that_led_is_waited_for_unless_the_swarm_takes_it_for_down(
    down: bool, waited: bool
) -> None:
    observed = converged(member(1, "one", down=down), member(2, "two"), member(3, "three"))
    serial = observed["one"].serial
    observed["one"] = _alone(observed["one"], serial_as_leader=serial)
    assert is_settling(observed) is waited
    observed["one"] = replace(observed["one"], serial_as_leader=serial - 1)
    assert not is_settling(observed)


@pytest.mark.parametrize("state", ["locked", "error", "inactive"])
def test_what_does_not_find_back_by_itself_is_not_waited_for(state: str) -> None:
    observed = converged(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed["two"] = _alone(observed["two"], state=state, serial=9)
    assert not is_settling(observed)
    cluster_of(observed)


def test_one_of_three_alone_is_not_waited_for() -> None:
    assert not is_settling({"one": _alone(three()["one"])})
