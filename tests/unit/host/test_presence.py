"""Test what is said where an inventory names hosts that are not as it has them."""

import pytest

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


@pytest.mark.parametrize(
    ("hosts", "topology", "beginning"),
    [
        ({"a": _BARE}, "single", "nothing is deployed on a yet: `infisical-iac apply`"),
        ({"a": _BARE, "b": _BARE}, "swarm", "nothing is deployed on a, b yet: "),
        ({"a": _NODE}, "single", "a is one host of a cluster: "),
        (
            {"a": _BARE, "b": _SINGLE},
            "swarm",
            "b runs Infisical on its own, and there is no cluster",
        ),
    ],
)
def test_hosts_that_differ_from_the_inventory_are_named_with_what_to_do(
    hosts: dict[str, MachineState], topology: str, beginning: str
) -> None:
    assert absence(hosts, topology=topology).startswith(beginning)


def test_during_a_migration_either_topology_has_something() -> None:
    moving = MachineState(deployed=True, clustered=True, scaling="1 out switched")
    assert absence({"a": moving}, topology="single") == ""
    begun = MachineState(deployed=True, scaling="1 out begun")
    assert absence({"a": begun, "b": _BARE}, topology="swarm") == ""


def test_a_cluster_with_an_unreachable_host_is_not_reported_as_absent() -> None:
    assert absence({"a": _BARE}, topology="swarm", has_unreachable=True) == ""
