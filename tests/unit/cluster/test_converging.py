"""Test when a run waits for managers that have just started."""

from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster.model import is_converging
from infisical_iac.core.errors import Refused
from tests.unit.cluster.observed import cluster_of, converged_states, member, three, three_bare


def _isolate(known: SwarmState, **changes: Any) -> SwarmState:
    """Return a manager that does not know the others yet."""
    return replace(known, control=False, members=(), swarm="", **changes)


def test_a_converged_cluster_and_new_hosts_are_not_waited_for() -> None:
    assert not is_converging(three())
    assert not is_converging(three_bare())


def test_managers_without_a_leader_are_waited_for() -> None:
    assert is_converging({name: _isolate(state) for name, state in three().items()})


def test_a_stale_host_waits_for_hosts_with_a_newer_state() -> None:
    observed = three()
    observed["one"] = replace(observed["one"], serial=2, serial_as_leader=2)
    observed |= {name: _isolate(observed[name]) for name in ("two", "three")}
    assert is_converging(observed)
    with pytest.raises(Refused, match=r"^one .* two and three,") as refused:
        cluster_of(observed)
    assert refused.value.code == "refused.stale_leader"


@pytest.mark.parametrize(("down", "waited"), [(False, True), (True, False)])
def test_the_last_leader_is_waited_for_unless_the_swarm_considers_it_down(
    down: bool, waited: bool
) -> None:
    observed = converged_states(member(1, "one", down=down), member(2, "two"), member(3, "three"))
    serial = observed["one"].serial
    observed["one"] = _isolate(observed["one"], serial_as_leader=serial)
    assert is_converging(observed) is waited
    observed["one"] = replace(observed["one"], serial_as_leader=serial - 1)
    assert not is_converging(observed)


@pytest.mark.parametrize("state", ["locked", "error", "inactive"])
def test_hosts_that_cannot_rejoin_by_themselves_are_not_waited_for(state: str) -> None:
    observed = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed["two"] = _isolate(observed["two"], state=state, serial=9)
    assert not is_converging(observed)
    cluster_of(observed)


def test_a_single_reachable_host_of_three_is_not_waited_for() -> None:
    assert not is_converging({"one": _isolate(three()["one"])})
