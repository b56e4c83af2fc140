"""Fixtures that several tests of a cluster share; each is read once."""

from typing import Any

import pytest

from tests.host.cluster import observed
from tests.host.cluster.observed import Node


@pytest.fixture(scope="session")
def data_nodes(nodes: list[Node]) -> list[Node]:
    found = [node for node in nodes if node.seen.control and node.member.number]
    assert found, "no reachable manager has a majority"
    return found


@pytest.fixture(scope="session")
def manager(data_nodes: list[Node]) -> Node:
    return data_nodes[0]


@pytest.fixture(scope="session")
def services(manager: Node) -> dict[str, dict[str, Any]]:
    return observed.services(manager)


@pytest.fixture(scope="session")
def tasks(manager: Node) -> dict[str, list[tuple[str, str]]]:
    return observed.tasks(manager)
