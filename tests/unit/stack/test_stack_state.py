"""Test that containers with wrong networks or limits are reported, and all other differences."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from infisical_iac.agent.docker import Connection, DockerNetwork, Limits
from infisical_iac.agent.serving import encode
from infisical_iac.agent.stack import Container, ObservedStack
from infisical_iac.stack.state import Connections, compare_connections, stack_question

_COMPOSE = """\
services:
  infisical:
    networks: {edge: {aliases: [infisical-upstream]}, databases: {}}
    restart: unless-stopped
    mem_limit: 768m
    cpus: 1.5
    pids_limit: 512
  redis: {networks: [databases], restart: unless-stopped, mem_limit: 256m, pids_limit: 64}
  caddy: {network_mode: host}
  proxied: {networks: [proxy]}
networks:
  edge: {}
  databases: {internal: true}
  proxy: {name: dokploy-network, external: true}
"""
_RUNNING = Container("1", "running", "healthy")
_CONNECTED = {
    "infisical": [
        "infisical_edge e1 infisical-infisical-1,infisical,infisical-upstream",
        "infisical_databases d1 infisical-infisical-1,infisical",
    ],
    "redis": ["infisical_databases d1 infisical-redis-1,redis"],
    "caddy": ["host h1 "],
    "proxied": ["dokploy-network p1 infisical-proxied-1,proxied"],
}
_NETWORKS = {
    "infisical_edge": DockerNetwork("e1", False, "infisical"),
    "infisical_databases": DockerNetwork("d1", True, "infisical"),
    "dokploy-network": DockerNetwork("p1", False, ""),
    "host": DockerNetwork("h1", False, ""),
    "bridge": DockerNetwork("b1", False, ""),
}
_LIMITS = {
    "infisical": Limits("unless-stopped", 805306368, 1500000000, 512),
    "redis": Limits("unless-stopped", 268435456, 0, 64),
}
_NO_LIMITS = Limits("no", 0, 0, 0)


def _observed(
    connected: Mapping[str, list[str]] = _CONNECTED,
    networks: Mapping[str, DockerNetwork] = _NETWORKS,
    limits: Mapping[str, Limits] = _LIMITS,
    container: Container = _RUNNING,
) -> ObservedStack:
    """Return containers with connections such as "<network> <its id> <aliases>"."""
    containers = {}
    for service, lines in connected.items():
        words = (line.split(" ") for line in lines)
        there = {name: Connection(id, frozenset(each.split(","))) for name, id, each in words}
        own = limits.get(service, _NO_LIMITS)
        containers[service] = (replace(container, connections=there, limits=own),)
    return ObservedStack(True, {"redis": "1"}, containers, networks)


def _compare(**observed: Any) -> Connections:
    return compare_connections(_COMPOSE, _observed(**observed))


def test_containers_in_the_networks_of_compose_yaml_have_no_difference() -> None:
    assert _compare().wrong() == {}


@pytest.mark.parametrize(
    ("service", "now", "clauses"),
    [
        ("redis", [], ["not connected .* databases"]),
        ("infisical", [], ["not connected .* edge", "not connected .* databases"]),
        ("proxied", [], ["not connected .* dokploy-network"]),
        (
            "redis",
            ["infisical_databases d0 redis"],
            ["connected .* databases .* no longer exists"],
        ),
        ("redis", ["infisical_databases d1 other"], ["not known as redis .* databases"]),
        (
            "infisical",
            ["infisical_edge e1 infisical", "infisical_databases d1 infisical"],
            ["not known as infisical-upstream .* edge"],
        ),
        (
            "redis",
            ["infisical_databases d1 redis", "bridge b1 "],
            ["connected .* bridge, .* should not be"],
        ),
    ],
)
def test_each_wrong_connection_is_named(service: str, now: list[str], clauses: list[str]) -> None:
    """Each pattern matches a whole clause, one for each difference."""
    ((found, reason),) = _compare(connected={**_CONNECTED, service: now}).wrong().items()
    assert found == service
    for pattern, clause in zip(clauses, reason.split("; "), strict=True):
        assert re.fullmatch(pattern, clause)


def test_a_container_in_a_recreated_network_is_in_the_wrong_network() -> None:
    made_again = {**_NETWORKS, "infisical_databases": DockerNetwork("d2", True, "infisical")}
    found = _compare(networks=made_again)
    assert found.wrong().keys() == {"infisical", "redis"}
    assert found.foreign() == []


@pytest.mark.parametrize("now", [(False, "infisical"), (True, ""), (True, "another")])
def test_a_network_that_differs_from_compose_is_recreated(now: tuple[bool, str]) -> None:
    found = _compare(networks={**_NETWORKS, "infisical_databases": DockerNetwork("d1", *now)})
    wrong = found.wrong()
    assert wrong.keys() == {"infisical", "redis"}
    for reason in wrong.values():
        assert re.fullmatch(r"connected .* databases .* compose\.yaml .*", reason)
    assert found.foreign() == ["infisical_databases"]


def test_a_network_of_another_project_is_left_unchanged() -> None:
    found = _compare(
        networks={**_NETWORKS, "dokploy-network": DockerNetwork("p1", True, "dokploy")}
    )
    assert (found.wrong(), found.foreign()) == ({}, [])


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (Limits("no", 268435456, 0, 64), "limit restart no → unless-stopped"),
        (Limits("unless-stopped", 0, 0, 64), "limit memory none → 268435456"),
        (Limits("unless-stopped", 268435456, 500000000, 64), "limit cpus 500000000 → none"),
        (
            Limits("always", 268435456, 0, 0),
            "limit restart always → unless-stopped; limit pids none → 64",
        ),
    ],
)
def test_limits_changed_by_docker_update_are_reported(now: Limits, reason: str) -> None:
    found = _compare(limits={**_LIMITS, "redis": now})
    assert found.wrong() == {"redis": reason}


def test_no_connection_is_wrong_if_docker_lists_no_networks() -> None:
    assert _compare(networks={}).wrong() == {}


def _differences(container: Container) -> dict[str, str]:
    """Return the differences of a stack with this container of redis, which has no network."""
    observed = _observed(connected={"redis": []}, container=container)
    asked = stack_question(compose=_COMPOSE, images=[])
    return asked.read([json.loads(json.dumps(observed, default=encode))]).differences()


def test_the_plan_names_the_network_of_an_unhealthy_container() -> None:
    ((service, reason),) = _differences(Container("1", "running", "unhealthy")).items()
    assert service == "redis"
    assert "network databases" in reason


def test_a_stopped_container_is_reported_as_stopped() -> None:
    found = _differences(Container("1", "exited", "none"))
    assert found == {"redis": "is exited, health none"}
