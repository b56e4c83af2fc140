"""Test which traffic a cluster's nodes accept, from each other and from other hosts."""

from typing import Any

import pytest

from infisical_iac.core.settings import Settings
from tests.host.cluster.observed import Node

# The ports of etcd, PostgreSQL, Patroni, Redis and Sentinel, which only overlay networks reach.
_GOSSIP = 7946
_INNER = (2379, 2380, 2381, 2382, 5432, 8008, 6379, 6380, 26379)


@pytest.mark.parametrize("network", ["consensus", "databases", "edge"])
def test_traffic_between_the_nodes_is_encrypted_if_all_kernels_support_it(
    nodes: list[Node], manager: Node, network: str
) -> None:
    options = manager.run(
        f"docker network inspect --format '{{{{ json .Options }}}}' infisical_{network}"
    )
    assert ('"encrypted"' in options) is all(node.seen.esp for node in nodes)


def test_only_the_proxy_is_published_on_each_node(
    settings: Settings, services: dict[str, dict[str, Any]]
) -> None:
    published = {
        name: [
            (port["PublishedPort"], port["TargetPort"], port["PublishMode"])
            for port in each["Spec"].get("EndpointSpec", {}).get("Ports", [])
        ]
        for name, each in services.items()
    }
    assert {name: ports for name, ports in published.items() if ports} == {
        "haproxy": [(settings.stack.http_port, 8080, "host")]
    }


def test_each_node_answers_for_infisical(settings: Settings, nodes: list[Node]) -> None:
    asked = (
        "curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "
        f"http://127.0.0.1:{settings.stack.http_port}/api/status"
    )
    assert {node.name: node.run(asked) for node in nodes} == {node.name: "200" for node in nodes}


def test_nodes_reach_only_the_swarms_port_of_each_other(
    settings: Settings, nodes: list[Node]
) -> None:
    pairs = [(node, other) for node in nodes for other in nodes if node != other]
    assert pairs, "only one node can be reached"
    ports = (_GOSSIP, settings.stack.http_port, *_INNER)
    reached = {
        f"{other.name} from {node.name}": node.run(_open(other.seen.advertised, ports)).split()
        for node, other in pairs
    }
    # The Swarm's own port shows that the attempts arrived.
    assert reached == {pair: [str(_GOSSIP)] for pair in reached}


def _open(address: str, ports: tuple[int, ...]) -> str:
    """Return a command that prints the ports which accept a connection."""
    each = " ".join(map(str, ports))
    return (
        f"for port in {each}; do (timeout 2 bash -c "
        f'": </dev/tcp/{address}/$port" && echo $port) 2>/dev/null & done; wait'
    )
