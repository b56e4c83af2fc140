"""Test what is said where an inventory names hosts that are not as it has them."""

from infisical_iac.host.machine import absence
from infisical_iac.host.model import MachineState

_BARE = MachineState()
_SINGLE = MachineState(deployed=True)
_NODE = MachineState(deployed=True, clustered=True)


def test_a_deployed_host_and_a_cluster_are_there() -> None:
    assert absence({"a": _SINGLE}, topology="single") == ""
    assert absence({"a": _NODE, "b": _NODE}, topology="swarm") == ""


def test_a_cluster_is_there_with_one_host_that_is_yet_to_join() -> None:
    assert absence({"a": _BARE, "b": _NODE}, topology="swarm") == ""


def test_hosts_with_nothing_are_named_with_what_deploys_to_them() -> None:
    assert absence({"a": _BARE, "b": _BARE}, topology="swarm") == (
        "nothing is deployed on a, b yet: `infisical-iac apply` does it"
    )
    assert "deployed on a yet" in absence({"a": _BARE}, topology="single")


def test_a_node_by_an_inventory_of_its_own_is_told_as_one_of_a_cluster() -> None:
    told = absence({"a": _NODE}, topology="single")
    assert told == "a is one host of a cluster: name the inventory of the whole cluster"


def test_a_cluster_that_is_no_more_is_told_as_the_host_that_was_left() -> None:
    told = absence({"a": _BARE, "b": _SINGLE, "c": _BARE}, topology="swarm")
    assert told.startswith("b has Infisical for itself, and there is no cluster")


def test_while_data_move_there_is_something_in_either_view() -> None:
    moving = MachineState(deployed=True, clustered=True, scaling="1 out switched")
    assert absence({"a": moving}, topology="single") == ""
    begun = MachineState(deployed=True, scaling="1 out begun")
    assert absence({"a": begun, "b": _BARE}, topology="swarm") == ""


def test_nothing_is_said_of_a_cluster_while_a_host_is_away_that_may_know_more() -> None:
    assert absence({"a": _BARE}, topology="swarm", away=True) == ""
