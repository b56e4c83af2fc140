"""Test the report on hosts that differ from the inventory."""

import pytest

from infisical_iac.host.machine import absence
from infisical_iac.host.model import MachineState

_BARE = MachineState()
_SINGLE = MachineState(deployed=True)
_NODE = MachineState(deployed=True, clustered=True)


def test_a_deployed_host_and_a_cluster_are_not_reported() -> None:
    assert absence({"a": _SINGLE}, topology="single") == ""
    assert absence({"a": _NODE, "b": _NODE}, topology="swarm") == ""


def test_a_cluster_with_a_host_that_has_not_joined_yet_is_not_reported() -> None:
    assert absence({"a": _BARE, "b": _NODE}, topology="swarm") == ""


@pytest.mark.parametrize(
    ("hosts", "topology", "names", "remedy"),
    [
        ({"a": _BARE}, "single", " on a", "`infisical-iac apply`"),
        ({"a": _BARE, "b": _BARE}, "swarm", " on a, b", "`infisical-iac apply`"),
        ({"a": _NODE}, "single", "a is one host", "the whole cluster"),
        ({"a": _BARE, "b": _SINGLE}, "swarm", "b runs Infisical", "`infisical-iac scale-out`"),
    ],
)
def test_hosts_that_differ_from_the_inventory_are_named_with_the_remedy(
    hosts: dict[str, MachineState], topology: str, names: str, remedy: str
) -> None:
    found, _, to_do = absence(hosts, topology=topology).partition(": ")
    assert names in found
    assert remedy in to_do


def test_no_host_is_reported_as_absent_during_a_migration() -> None:
    moving = MachineState(deployed=True, clustered=True, scaling="1 out switched")
    assert absence({"a": moving}, topology="single") == ""
    begun = MachineState(deployed=True, scaling="1 out begun")
    assert absence({"a": begun, "b": _BARE}, topology="swarm") == ""


def test_a_cluster_with_an_unreachable_host_is_not_reported() -> None:
    assert absence({"a": _BARE}, topology="swarm", has_unreachable=True) == ""
