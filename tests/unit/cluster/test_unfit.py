"""Test that hosts that can't form one cluster are refused."""

from dataclasses import replace

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.core.errors import Refused
from tests.unit.cluster.observed import (
    NAMES,
    bare,
    cluster_of,
    converged_states,
    member,
    three,
    three_bare,
)


def test_hosts_with_different_keys_are_not_a_cluster() -> None:
    observed = three_bare() | {"one": bare(1, key="a"), "three": bare(3, key="b")}
    with pytest.raises(Refused, match=r"^three .* than one,") as refused:
        cluster_of(observed)
    assert refused.value.code == "refused.other_key"


def test_a_host_whose_clock_is_behind_keeps_its_number_and_is_reported() -> None:
    observed = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed["two"] = replace(
        observed["two"], state="error", early=True, id="", control=False, members=()
    )
    with pytest.raises(Refused, match=r"clock of two .*: set the clock \(`timedatectl`") as refused:
        cluster_of(observed)
    assert refused.value.code == "refused.clock"


@pytest.mark.parametrize(
    ("observed", "inventory", "code", "facts"),
    [
        (three_bare(), ("one", "two"), "few_hosts", r"^setting 'topology': .* 3 .* 2: "),
        (
            {name: bare(n) for n, name in enumerate(NAMES[:2], 1)},
            NAMES,
            "missing_host",
            r"3 reachable hosts, and three ",
        ),
        (
            three_bare() | {"two": bare(2, state="active", id="x")},
            NAMES,
            "foreign_swarm",
            r"^Docker on two ",
        ),
        (
            three() | {"two": replace(three()["two"], mark="other", serial=0)},
            NAMES,
            "other_cluster",
            r"^two .* than one: .*`docker swarm leave --force`",
        ),
        (
            {name: replace(look, control=False) for name, look in three().items()},
            NAMES,
            "no_quorum",
            r"infisical-iac docs runbooks",
        ),
        (
            three_bare() | {"two": bare(2, address="")},
            NAMES,
            "no_route",
            r"^two .*: set cluster_address",
        ),
    ],
)
def test_hosts_that_are_not_a_cluster_are_refused(
    observed: dict[str, SwarmState], inventory: tuple[str, ...], code: str, facts: str
) -> None:
    with pytest.raises(Refused, match=facts) as refused:
        cluster_of(observed, inventory=inventory)
    assert refused.value.code == f"refused.{code}"


def test_another_address_than_in_the_swarm_is_refused() -> None:
    with pytest.raises(Refused, match=r"two .* 10\.0\.0\.2, not as 192\.0\.2\.2: ") as refused:
        cluster_of(three(), addresses={"two": "192.0.2.2"})
    assert refused.value.code == "refused.other_address"
