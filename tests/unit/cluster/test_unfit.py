"""Test that hosts that can't form one cluster are refused."""

from dataclasses import replace

import pytest

from infisical_iac.cluster.swarm_state import SwarmState
from infisical_iac.core.errors import Refused
from tests.unit.cluster.observed import (
    NAMES,
    bare,
    cluster_of,
    converged,
    member,
    three,
    three_bare,
)


def test_hosts_with_different_keys_are_no_cluster() -> None:
    observed = three_bare() | {"one": bare(1, key="a"), "three": bare(3, key="b")}
    with pytest.raises(Refused, match=r"^three has another encryption key than one"):
        cluster_of(observed)


def test_a_host_whose_clock_is_behind_keeps_its_number_and_is_reported() -> None:
    observed = converged(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed["two"] = replace(
        observed["two"], state="error", early=True, id="", control=False, members=()
    )
    with pytest.raises(Refused, match=r"^the clock of two is behind, .*: set the clock \("):
        cluster_of(observed)


@pytest.mark.parametrize(
    ("observed", "inventory", "sentence"),
    [
        (three_bare(), ("one", "two"), "a swarm needs 3 hosts or more, and the inventory has 2"),
        (
            {name: bare(n) for n, name in enumerate(NAMES[:2], 1)},
            NAMES,
            "a first deploy to a cluster needs 3 reachable hosts, and three can't be",
        ),
        (
            three_bare() | {"two": bare(2, state="active", id="x")},
            NAMES,
            "Docker on two is in a Swarm that is not this project's, such as Dokploy's",
        ),
        (
            three() | {"two": replace(three()["two"], mark="other", serial=0)},
            NAMES,
            "two is in another cluster than one",
        ),
        (
            {name: replace(look, control=False) for name, look in three().items()},
            NAMES,
            "no reachable host is a manager with a majority behind it",
        ),
        (three_bare() | {"two": bare(2, address="")}, NAMES, "two has no default route"),
    ],
)
def test_hosts_that_are_no_cluster_are_refused(
    observed: dict[str, SwarmState], inventory: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(Refused, match=sentence):
        cluster_of(observed, inventory=inventory)


def test_another_address_than_in_the_swarm_is_refused() -> None:
    with pytest.raises(Refused, match=r"two is in the swarm as 10\.0\.0\.2, not as 192\."):
        cluster_of(three(), addresses={"two": "192.0.2.2"})
