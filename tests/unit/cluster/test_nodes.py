"""Who is who in a cluster: numbers, managers, who leads, and who is gone."""

from dataclasses import replace

import pytest

from infisical_iac.cluster.nodes import ClusterRefused, free_pool
from infisical_iac.facts.swarm_state import SwarmState
from tests.unit.cluster.looks import NAMES, bare, member, settled, three, told


def _bare() -> dict[str, SwarmState]:
    return {name: bare(number) for number, name in enumerate(NAMES, 1)}


def _numbers(looks: dict[str, SwarmState], *inventory: str) -> dict[str, int]:
    cluster = told(looks, inventory=inventory or NAMES)
    return {node.name: node.number for node in cluster.nodes}


def test_the_first_three_hosts_of_a_new_cluster_keep_data_and_manage() -> None:
    cluster = told({**_bare(), "four": bare(4)}, inventory=(*NAMES, "four"))
    assert [(node.name, node.number, node.manager) for node in cluster.nodes] == [
        ("one", 1, True),
        ("two", 2, True),
        ("three", 3, True),
        ("four", 0, False),
    ]
    assert {node.joined for node in cluster.nodes} == {"new", ""}
    assert (cluster.numbers, cluster.existing, cluster.begun) == ((1, 2, 3), frozenset(), False)


def test_the_first_host_of_a_new_cluster_leads() -> None:
    assert told(_bare(), me="two").lead.name == "one"
    assert [told(_bare(), me=name).leads for name in NAMES] == [True, False, False]


def test_a_host_that_has_keys_leads_hosts_that_have_none() -> None:
    looks = _bare() | {"three": bare(3, key="key", digest="state")}
    assert told(looks).lead.name == "three"


def test_two_hosts_with_keys_of_their_own_are_no_cluster() -> None:
    looks = _bare() | {"one": bare(1, key="a"), "three": bare(3, key="b")}
    with pytest.raises(ClusterRefused, match=r"^three has an encryption key of its own, .* of one"):
        told(looks)


def test_a_host_of_the_cluster_that_died_while_it_got_another_key_gets_it_again() -> None:
    looks = three()
    looks["two"] = replace(looks["two"], serial=0, key="older", digest="torn")
    assert told(looks).lead.name == "one"


def test_the_host_with_the_newest_state_leads() -> None:
    looks = three()
    looks["two"] = replace(looks["two"], serial=5)
    assert told(looks).lead.name == "two"


def test_a_stale_first_host_that_comes_back_does_not_lead() -> None:
    looks = three()
    looks["two"] = replace(looks["two"], serial=5, led=5)
    looks["three"] = replace(looks["three"], serial=5)
    looks["one"] = replace(looks["one"], digest="changed", key="older")
    assert told(looks).lead.name == "two"


def test_of_hosts_with_one_serial_the_one_that_led_leads_on_with_what_it_changed() -> None:
    looks = three()
    looks["one"] = replace(looks["one"], led=0)
    looks["three"] = replace(looks["three"], led=4, digest="changed")
    assert told(looks).lead.name == "three"


def test_a_host_without_a_majority_behind_it_does_not_lead_whatever_its_serial() -> None:
    looks = three()
    looks["one"] = replace(looks["one"], state="locked", id="", control=False, members=(), serial=9)
    assert told(looks).lead.name == "two"


def test_numbers_come_from_the_swarm_and_not_from_the_inventorys_order() -> None:
    looks = three()
    assert _numbers(looks, "three", "one", "two") == {"one": 1, "two": 2, "three": 3}


def test_a_new_host_gets_the_number_of_the_one_that_is_gone_and_joins_its_etcd() -> None:
    lost = settled(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    looks = {name: lost[name] for name in ("one", "three")} | {"four": bare(4)}
    cluster = told(looks, inventory=("one", "four", "three"))
    assert {node.name: node.number for node in cluster.nodes} == {"one": 1, "four": 2, "three": 3}
    assert cluster.existing == {2}
    assert [each.host for each in cluster.gone] == ["two"]
    assert cluster.peers == ("10.0.0.1", "10.0.0.3", "10.0.0.4")


def test_a_lost_data_node_keeps_its_place_until_another_takes_it() -> None:
    looks = settled(member(1, "one"), member(2, "two"), member(3, "three", down=True))
    del looks["three"]
    cluster = told(looks, inventory=("one", "two", "four"))
    assert [(node.name, node.number, node.up) for node in cluster.nodes] == [
        ("one", 1, True),
        ("two", 2, True),
        ("three", 3, False),
    ]
    assert (cluster.numbers, cluster.gone, cluster.existing) == ((1, 2, 3), (), frozenset())
    assert cluster.notes == (
        "four can't be reached: the run goes on with one, two",
        "three is lost, and no host that can be reached takes its place: the cluster has two data "
        "nodes until one does",
    )
    cluster = told({**looks, "four": bare(4)}, inventory=("one", "two", "four"))
    assert [each.host for each in cluster.gone] == ["three"]
    assert [node.name for node in cluster.nodes] == ["one", "two", "four"]


def test_a_data_node_that_was_taken_out_by_hand_leaves_its_services_in_the_stack() -> None:
    looks = settled(member(1, "one"), member(2, "two"))
    assert told(looks, inventory=("one", "two", "four")).numbers == (1, 2, 3)


@pytest.mark.parametrize("remains", [{}, {"mark": "swarm-id", "state": "inactive"}])
def test_a_host_made_anew_under_its_old_name_takes_its_old_place(remains: dict[str, str]) -> None:
    lost = settled(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    cluster = told({**lost, "two": bare(2, **remains)})
    assert {node.name: node.number for node in cluster.nodes} == {"one": 1, "two": 2, "three": 3}
    assert cluster.existing == {2}
    assert [each.id for each in cluster.gone] == ["id2"]


def test_a_host_made_anew_waits_until_the_swarm_has_given_the_old_one_up() -> None:
    with pytest.raises(ClusterRefused, match=r"^two was made anew, .*: run again in a minute"):
        told({**three(), "two": bare(2)})


@pytest.mark.parametrize("state", ["locked", "error", ""])
def test_a_host_that_is_locked_or_can_not_start_or_has_no_engine_running_is_not_gone(
    state: str,
) -> None:
    looks = settled(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    looks["two"] = replace(looks["two"], state=state, id="", control=False, members=())
    cluster = told(looks)
    assert (cluster.gone, _numbers(looks)) == ((), {"one": 1, "two": 2, "three": 3})


def test_a_host_whose_certificate_has_ended_is_brought_in_anew_in_its_place() -> None:
    looks = settled(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    looks["two"] = replace(
        looks["two"], state="error", expired=True, id="", control=False, members=()
    )
    cluster = told(looks)
    assert [each.id for each in cluster.gone] == ["id2"]
    assert _numbers(looks) == {"one": 1, "two": 2, "three": 3}
    assert cluster.existing == {2}


def test_a_host_whose_clock_is_behind_keeps_its_place_and_its_clock_is_to_be_set() -> None:
    looks = settled(member(1, "one"), member(2, "two", down=True), member(3, "three"))
    looks["two"] = replace(
        looks["two"], state="error", early=True, id="", control=False, members=()
    )
    with pytest.raises(ClusterRefused, match=r"^the clock of two is behind: .*: set the clock \("):
        told(looks)


def test_a_host_that_cant_be_reached_keeps_its_place_and_is_told() -> None:
    lost = settled(member(1, "one", down=True), member(2, "two"), member(3, "three"))
    cluster = told({name: lost[name] for name in ("two", "three")})
    assert [(node.name, node.number, node.up) for node in cluster.nodes] == [
        ("one", 1, False),
        ("two", 2, True),
        ("three", 3, True),
    ]
    assert (cluster.lead.name, cluster.gone) == ("two", ())
    assert cluster.peers == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    assert cluster.notes == ("one can't be reached: the run goes on with three, two",)


def test_a_node_that_answers_is_not_taken_out_for_being_in_no_inventory() -> None:
    four = settled(*(member(n, name) for n, name in enumerate((*NAMES, "four"), 1)))
    cluster = told({name: four[name] for name in NAMES})
    assert [node.name for node in cluster.nodes] == [*NAMES, "four"]
    assert cluster.gone == ()
    assert cluster.notes[0].startswith("four is in the swarm, and in no inventory: add it there")


def test_turns_are_in_the_order_of_the_numbers() -> None:
    looks = three()
    assert [told(looks, me=name).turn for name in ("three", "one", "two")] == [2, 0, 1]


def test_one_kernel_that_lacks_something_lacks_it_for_all() -> None:
    looks = three()
    assert (told(looks).ipvs, told(looks).esp) == (True, True)
    looks["two"] = replace(looks["two"], ipvs=False, esp=False)
    assert (told(looks).ipvs, told(looks).esp) == (False, False)


def test_what_a_kernel_lacks_it_lacks_while_its_host_is_away() -> None:
    away = member(3, "three", down=True, lacks="esp,ipvs")
    looks = settled(member(1, "one"), member(2, "two"), away)
    del looks["three"]
    assert (told(looks).ipvs, told(looks).esp) == (False, False)


def test_a_setting_says_where_the_others_reach_a_host() -> None:
    cluster = told(_bare(), addresses={"two": "192.0.2.2"})
    assert [node.address for node in cluster.nodes] == ["10.0.0.1", "192.0.2.2", "10.0.0.3"]


def test_overlay_networks_are_where_no_node_is() -> None:
    assert free_pool(["10.0.0.1", "fd00::1"]) == "10.201.0.0/16"
    assert free_pool(["10.0.0.1", "10.201.3.4"]) == "172.30.0.0/16"


@pytest.mark.parametrize(
    ("looks", "inventory", "sentence"),
    [
        (_bare(), ("one", "two"), "a swarm takes 3 hosts or more, and the inventory has 2"),
        (
            {name: bare(n) for n, name in enumerate(NAMES[:2], 1)},
            NAMES,
            "a first deploy to a cluster needs 3 hosts that can be reached, and three can't",
        ),
        (
            _bare() | {"two": bare(2, state="active", id="x")},
            NAMES,
            "Docker on two is in a Swarm that is not this project's, as Dokploy has it",
        ),
        (
            three() | {"two": replace(three()["two"], mark="other", serial=0)},
            NAMES,
            "two is in another cluster than one",
        ),
        (
            {name: replace(look, control=False) for name, look in three().items()},
            NAMES,
            "no host that can be reached is a manager with a majority behind it",
        ),
        (_bare() | {"two": bare(2, address="")}, NAMES, "two has no default route"),
    ],
)
def test_what_is_no_cluster_is_refused(
    looks: dict[str, SwarmState], inventory: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ClusterRefused, match=sentence):
        told(looks, inventory=inventory)


def test_another_address_than_the_swarm_has_is_refused() -> None:
    with pytest.raises(ClusterRefused, match=r"two is in the swarm as 10\.0\.0\.2, not as 192\."):
        told(three(), addresses={"two": "192.0.2.2"})
