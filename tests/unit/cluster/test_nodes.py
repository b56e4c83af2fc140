"""Test the numbers and roles of a cluster's nodes, and which of them are lost."""

from dataclasses import replace

import pytest

from infisical_iac.agent.membership import SwarmState
from infisical_iac.cluster.model import free_pool
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


def _numbers(observed: dict[str, SwarmState], *inventory: str) -> dict[str, int]:
    cluster = cluster_of(observed, inventory=inventory or NAMES)
    return {node.name: node.number for node in cluster.nodes}


def test_the_first_three_hosts_of_a_new_cluster_are_data_nodes_and_managers() -> None:
    cluster = cluster_of({**three_bare(), "four": bare(4)}, inventory=(*NAMES, "four"))
    assert [(node.name, node.number, node.manager) for node in cluster.nodes] == [
        ("one", 1, True),
        ("two", 2, True),
        ("three", 3, True),
        ("four", 0, False),
    ]
    assert {node.joined for node in cluster.nodes} == {"new", ""}
    assert (cluster.numbers, cluster.existing, cluster.has_databases) == (
        (1, 2, 3),
        frozenset(),
        False,
    )


def test_numbers_come_from_the_swarm_and_not_from_the_inventorys_order() -> None:
    observed = three()
    assert _numbers(observed, "three", "one", "two") == {"one": 1, "two": 2, "three": 3}


def test_a_new_host_gets_the_number_of_a_lost_one_and_joins_etcd() -> None:
    lost = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed = {name: lost[name] for name in ("one", "three")} | {"four": bare(4)}
    cluster = cluster_of(observed, inventory=("one", "four", "three"))
    assert {node.name: node.number for node in cluster.nodes} == {"one": 1, "four": 2, "three": 3}
    assert cluster.existing == {2}
    assert [each.host for each in cluster.gone] == ["two"]
    assert cluster.peers == ("10.0.0.1", "10.0.0.3", "10.0.0.4")


def test_a_lost_data_node_keeps_its_place_until_another_takes_it() -> None:
    observed = converged_states(member(1, "one"), member(2, "two"), member(3, "three", down=True))
    del observed["three"]
    cluster = cluster_of(observed, inventory=("one", "two", "four"))
    assert [(node.name, node.number, node.up) for node in cluster.nodes] == [
        ("one", 1, True),
        ("two", 2, True),
        ("three", 3, False),
    ]
    assert (cluster.numbers, cluster.gone, cluster.existing) == ((1, 2, 3), (), frozenset())
    away, lost = cluster.notes
    assert (away.partition(" ")[0], away.rpartition(" with ")[2]) == ("four", "one, two")
    assert lost.startswith("three is lost")
    cluster = cluster_of({**observed, "four": bare(4)}, inventory=("one", "two", "four"))
    assert [each.host for each in cluster.gone] == ["three"]
    assert [node.name for node in cluster.nodes] == ["one", "two", "four"]


def test_a_manually_removed_data_node_keeps_its_services_in_the_stack() -> None:
    observed = converged_states(member(1, "one"), member(2, "two"))
    assert cluster_of(observed, inventory=("one", "two", "four")).numbers == (1, 2, 3)


@pytest.mark.parametrize("remains", [{}, {"mark": "swarm-id", "state": "inactive"}])
def test_a_re_created_host_gets_its_old_number(remains: dict[str, str]) -> None:
    lost = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    cluster = cluster_of({**lost, "two": bare(2, **remains)})
    assert {node.name: node.number for node in cluster.nodes} == {"one": 1, "two": 2, "three": 3}
    assert cluster.existing == {2}
    assert [each.id for each in cluster.gone] == ["id2"]


def test_a_re_created_host_waits_until_the_swarm_considers_the_old_one_down() -> None:
    with pytest.raises(Refused, match=r"^two .*: run again ") as refused:
        cluster_of({**three(), "two": bare(2)})
    assert refused.value.code == "refused.not_down_yet"


@pytest.mark.parametrize("state", ["locked", "error", ""])
def test_a_host_with_a_locked_failed_or_stopped_engine_is_not_lost(
    state: str,
) -> None:
    observed = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed["two"] = replace(observed["two"], state=state, id="", control=False, members=())
    cluster = cluster_of(observed)
    assert (cluster.gone, _numbers(observed)) == ((), {"one": 1, "two": 2, "three": 3})


def test_a_host_with_an_expired_certificate_joins_again_with_its_number() -> None:
    observed = converged_states(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    observed["two"] = replace(
        observed["two"], state="error", expired=True, id="", control=False, members=()
    )
    cluster = cluster_of(observed)
    assert [each.id for each in cluster.gone] == ["id2"]
    assert _numbers(observed) == {"one": 1, "two": 2, "three": 3}
    assert cluster.existing == {2}


def test_an_unreachable_host_keeps_its_number_and_is_reported() -> None:
    lost = converged_states(member(1, "one", down=True), member(2, "two"), member(3, "three"))
    cluster = cluster_of({name: lost[name] for name in ("two", "three")})
    assert [(node.name, node.number, node.up) for node in cluster.nodes] == [
        ("one", 1, False),
        ("two", 2, True),
        ("three", 3, True),
    ]
    assert (cluster.leader.name, cluster.gone) == ("two", ())
    assert cluster.peers == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    (away,) = cluster.notes
    assert (away.partition(" ")[0], away.rpartition(" with ")[2]) == ("one", "three, two")


def test_an_answering_node_outside_the_inventory_is_kept() -> None:
    four = converged_states(*(member(n, name) for n, name in enumerate((*NAMES, "four"), 1)))
    cluster = cluster_of({name: four[name] for name in NAMES})
    assert [node.name for node in cluster.nodes] == [*NAMES, "four"]
    assert cluster.gone == ()
    assert cluster.notes[0].startswith("four ")
    assert "no inventory" in cluster.notes[0]


def test_hosts_take_turns_in_the_order_of_their_numbers() -> None:
    observed = three()
    assert [cluster_of(observed, me=name).turn for name in ("three", "one", "two")] == [2, 0, 1]


def test_a_kernel_feature_is_missing_if_one_host_lacks_it() -> None:
    observed = three()
    assert (cluster_of(observed).ipvs, cluster_of(observed).esp) == (True, True)
    observed["two"] = replace(observed["two"], ipvs=False, esp=False)
    assert (cluster_of(observed).ipvs, cluster_of(observed).esp) == (False, False)


def test_missing_kernel_features_are_remembered_while_the_host_is_unreachable() -> None:
    away = member(3, "three", down=True, lacks="esp,ipvs")
    observed = converged_states(member(1, "one"), member(2, "two"), away)
    del observed["three"]
    assert (cluster_of(observed).ipvs, cluster_of(observed).esp) == (False, False)


def test_cluster_address_overrides_the_address_of_a_host() -> None:
    cluster = cluster_of(three_bare(), addresses={"two": "192.0.2.2"})
    assert [node.address for node in cluster.nodes] == ["10.0.0.1", "192.0.2.2", "10.0.0.3"]


def test_overlay_networks_avoid_the_addresses_of_nodes() -> None:
    assert free_pool(["10.0.0.1", "fd00::1"]) == "10.201.0.0/16"
    assert free_pool(["10.0.0.1", "10.201.3.4"]) == "172.30.0.0/16"
