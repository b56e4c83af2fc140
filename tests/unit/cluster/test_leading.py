"""Test which host of a cluster leads."""

from dataclasses import replace

from tests.unit.cluster.looks import NAMES, bare, three, three_bare, told


def test_the_first_host_of_a_new_cluster_leads() -> None:
    assert told(three_bare(), me="two").lead.name == "one"
    assert [told(three_bare(), me=name).leads for name in NAMES] == [True, False, False]


def test_a_host_that_has_keys_leads_hosts_that_have_none() -> None:
    looks = three_bare() | {"three": bare(3, key="key", digest="state")}
    assert told(looks).lead.name == "three"


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
