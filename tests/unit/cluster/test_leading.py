"""Test which host of a cluster becomes the leader."""

from dataclasses import replace

from tests.unit.cluster.observed import NAMES, bare, cluster_of, three, three_bare


def test_the_first_host_of_a_new_cluster_leads() -> None:
    assert cluster_of(three_bare(), me="two").leader.name == "one"
    assert [cluster_of(three_bare(), me=name).leads for name in NAMES] == [True, False, False]


def test_a_host_with_keys_leads_hosts_without_keys() -> None:
    observed = three_bare() | {"three": bare(3, key="key", digest="state")}
    assert cluster_of(observed).leader.name == "three"


def test_a_host_with_an_interrupted_copy_of_a_new_key_does_not_lead() -> None:
    observed = three()
    observed["two"] = replace(observed["two"], serial=0, key="older", digest="torn")
    assert cluster_of(observed).leader.name == "one"


def test_the_host_with_the_newest_state_leads() -> None:
    observed = three()
    observed["two"] = replace(observed["two"], serial=5)
    assert cluster_of(observed).leader.name == "two"


def test_a_stale_first_host_that_comes_back_does_not_lead() -> None:
    observed = three()
    observed["two"] = replace(observed["two"], serial=5, serial_as_leader=5)
    observed["three"] = replace(observed["three"], serial=5)
    observed["one"] = replace(observed["one"], digest="changed", key="older")
    assert cluster_of(observed).leader.name == "two"


def test_the_last_leader_leads_if_all_hosts_have_the_same_serial() -> None:
    observed = three()
    observed["one"] = replace(observed["one"], serial_as_leader=0)
    observed["three"] = replace(observed["three"], serial_as_leader=4, digest="changed")
    assert cluster_of(observed).leader.name == "three"


def test_a_host_without_a_majority_never_leads() -> None:
    observed = three()
    observed["one"] = replace(
        observed["one"], state="locked", id="", control=False, members=(), serial=9
    )
    assert cluster_of(observed).leader.name == "two"
