"""Test the nodes of a cluster: all are ready, three are managers, all have the same state."""

from tests.host.cluster.observed import Node
from tests.host.target import Target


def test_every_host_of_the_inventory_can_be_reached(
    targets: list[Target], nodes: list[Node]
) -> None:
    assert {each.name for each in targets} - {each.name for each in nodes} == set()


def test_every_node_is_ready_and_active(targets: list[Target], manager: Node) -> None:
    members = manager.seen.members
    assert [each.host or each.hostname for each in members if each.down] == []
    assert [each.host or each.hostname for each in members if not each.active] == []
    assert sorted(each.host for each in members) == sorted(each.name for each in targets)


def test_three_nodes_are_managers_and_one_of_them_is_the_leader(manager: Node) -> None:
    managers = [each for each in manager.seen.members if each.manager]
    assert len(managers) == 3
    assert sum(each.leader for each in managers) == 1


def test_each_data_node_has_its_number(manager: Node) -> None:
    numbers = sorted(each.number for each in manager.seen.members if each.manager)
    assert numbers == [1, 2, 3]
    assert {each.number for each in manager.seen.members if not each.manager} <= {0}


def test_managers_are_autolocked_and_each_host_has_the_unlock_key(data_nodes: list[Node]) -> None:
    assert {node.name: node.seen.autolock for node in data_nodes if not node.seen.autolock} == {}
    assert {node.name: node.seen.unlocks for node in data_nodes if not node.seen.unlocks} == {}


def test_all_data_nodes_have_the_same_state_and_serial(data_nodes: list[Node]) -> None:
    assert len({node.seen.digest for node in data_nodes}) == 1
    assert len({node.seen.serial for node in data_nodes}) == 1
