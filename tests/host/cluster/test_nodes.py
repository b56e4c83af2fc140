"""The nodes of a cluster: all are there, three rule the Swarm, and all have the same state."""

from tests.host.cluster.observed import Node
from tests.host.target import Target


def test_every_host_of_the_inventory_can_be_reached(
    targets: list[Target], nodes: list[Node]
) -> None:
    assert {each.name for each in targets} - {each.name for each in nodes} == set()


def test_every_node_is_ready_and_may_be_given_work(targets: list[Target], manager: Node) -> None:
    members = manager.seen.members
    assert [each.host or each.hostname for each in members if each.down] == []
    assert [each.host or each.hostname for each in members if not each.active] == []
    assert sorted(each.host for each in members) == sorted(each.name for each in targets)


def test_three_nodes_rule_the_swarm_and_one_of_them_leads(manager: Node) -> None:
    managers = [each for each in manager.seen.members if each.manager]
    assert len(managers) == 3
    assert sum(each.leader for each in managers) == 1


def test_each_data_node_has_its_number(manager: Node) -> None:
    numbers = sorted(each.number for each in manager.seen.members if each.manager)
    assert numbers == [1, 2, 3]
    assert {each.number for each in manager.seen.members if not each.manager} <= {0}


def test_a_managers_keys_are_locked_and_the_key_on_each_opens_them(data_nodes: list[Node]) -> None:
    assert {node.name: node.seen.autolock for node in data_nodes if not node.seen.autolock} == {}
    assert {node.name: node.seen.unlocks for node in data_nodes if not node.seen.unlocks} == {}


def test_all_that_keep_data_have_the_same_state(data_nodes: list[Node]) -> None:
    assert len({node.seen.digest for node in data_nodes}) == 1
    assert len({node.seen.serial for node in data_nodes}) == 1
