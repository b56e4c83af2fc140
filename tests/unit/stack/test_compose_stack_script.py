"""Test that containers with wrong networks or limits, and stuck containers, are repaired."""

import re
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script
from infisical_iac.stack.state import COMPOSE_FILE, Stack, connections
from tests.unit.fake_programs import fake_docker, run_with

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
    "infisical_edge": "e1 false infisical",
    "infisical_databases": "d1 true infisical",
    "dokploy-network": "p1 false",
    "host": "h1 false",
    "bridge": "b1 false",
}
_LIMITS = {
    "infisical": "unless-stopped 805306368 1500000000 512",
    "redis": "unless-stopped 268435456 0 64",
}


def _output(
    connected: dict[str, list[str]] = _CONNECTED,
    networks: dict[str, str] = _NETWORKS,
    limits: dict[str, str] = _LIMITS,
) -> list[str]:
    return [
        *(f"limits {service} {each}" for service, each in limits.items()),
        *(f"compose {line}" for line in _COMPOSE.splitlines()),
        *(f"network {name} {id}" for name, id in networks.items()),
        *(f"connections {service}" for service in connected),
        *(f"connected {service} {each}" for service, all_ in connected.items() for each in all_),
    ]


def test_containers_in_the_networks_of_compose_yaml_have_no_difference() -> None:
    assert connections(_output()).wrong() == {}


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
    ((found, reason),) = connections(_output({**_CONNECTED, service: now})).wrong().items()
    assert found == service
    for pattern, clause in zip(clauses, reason.split("; "), strict=True):
        assert re.fullmatch(pattern, clause)


def test_a_container_in_a_recreated_network_is_in_the_wrong_network() -> None:
    made_again = {**_NETWORKS, "infisical_databases": "d2 true infisical"}
    found = connections(_output(networks=made_again))
    assert found.wrong().keys() == {"infisical", "redis"}
    assert found.foreign() == []


@pytest.mark.parametrize("now", ["d1 false infisical", "d1 true", "d1 true another"])
def test_a_network_that_differs_from_compose_is_recreated(now: str) -> None:
    found = connections(_output(networks={**_NETWORKS, "infisical_databases": now}))
    wrong = found.wrong()
    assert wrong.keys() == {"infisical", "redis"}
    for reason in wrong.values():
        assert re.fullmatch(r"connected .* databases .* compose\.yaml .*", reason)
    assert found.foreign() == ["infisical_databases"]


def test_a_network_of_another_project_is_left_unchanged() -> None:
    found = connections(_output(networks={**_NETWORKS, "dokploy-network": "p1 true dokploy"}))
    assert (found.wrong(), found.foreign()) == ({}, [])


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ("no 268435456 0 64", "limit restart no → unless-stopped"),
        ("unless-stopped 0 0 64", "limit memory none → 268435456"),
        ("unless-stopped 268435456 500000000 64", "limit cpus 500000000 → none"),
        (
            "always 268435456 0 0",
            "limit restart always → unless-stopped; limit pids none → 64",
        ),
    ],
)
def test_limits_changed_by_docker_update_are_reported(now: str, reason: str) -> None:
    found = connections(_output(limits={**_LIMITS, "redis": now}))
    assert found.wrong() == {"redis": reason}


def test_no_connection_is_wrong_if_docker_lists_no_networks() -> None:
    assert connections(_output(networks={})).wrong() == {}


def test_the_plan_names_the_network_of_an_unhealthy_container() -> None:
    output = [
        *("engine", "hash redis 1", "container redis 1 running unhealthy"),
        *_output({"redis": []}),
    ]
    ((service, reason),) = Stack().process(output).differences().items()
    assert service == "redis"
    assert "network databases" in reason


def test_a_stopped_container_is_reported_as_stopped() -> None:
    output = ["engine", "hash redis 1", "container redis 1 exited none", *_output({"redis": []})]
    assert Stack().process(output).differences() == {"redis": "is exited, health none"}


# A file has a line "<id> <service> <status> <restarts> <health>" for each container. Compose logs
# the containers that it starts, and their state.
_DOCKER = r"""
"ps "*) cut -d ' ' -f 1 "$HOST/containers" ;;
"inspect "*) cat "$HOST/containers" ;;
"unpause "*) sed -i "s/^\($last [^ ]*\) paused/\1 running/" "$HOST/containers" ;;
"stop "*) sed -i "s/^\($last [^ ]*\) running/\1 exited/" "$HOST/containers" ;;
"rm "*) sed -i "/^$last /d" "$HOST/containers" ;;
"compose "*--services*) printf 'infisical\nredis\ncaddy\n' ;;
"compose "*" up "*)
    if grep -qE ' (paused|dead|removing) ' "$HOST/containers"; then
        echo "cannot start a paused container" >&2
        exit 1
    fi
    ;;
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    fake_docker(tmp_path, _DOCKER)
    (tmp_path / "calls").touch()
    return tmp_path


def _up(host: Path, containers: str, *services: str) -> list[str]:
    """Bring up a stack, and return the containers that Compose finds afterwards."""
    (host / "containers").write_text(containers)
    ran = run_with(host, f"FILE={COMPOSE_FILE} {script('stack', 'up', *services)}")
    assert ran.returncode == 0, ran.stderr
    return (host / "containers").read_text().splitlines()


def _calls(host: Path) -> list[str]:
    return (host / "calls").read_text().splitlines()


def test_a_paused_container_is_resumed(host: Path) -> None:
    found = _up(host, "r redis paused 0 healthy\np postgres running 0 healthy\n")
    assert found == ["r redis running 0 healthy", "p postgres running 0 healthy"]


@pytest.mark.parametrize("status", ["created", "dead", "removing", "restarting"])
def test_a_container_that_can_not_start_is_recreated(host: Path, status: str) -> None:
    found = _up(host, f"r redis {status} 0 none\np postgres running 0 healthy\n")
    assert found == ["p postgres running 0 healthy"]


def test_a_container_of_the_wrong_networks_is_stopped_and_recreated(host: Path) -> None:
    found = _up(host, "r redis paused 0 healthy\np postgres running 0 healthy\n", "redis")
    assert found == ["p postgres running 0 healthy"]
    assert [each for each in _calls(host) if each.endswith(" r")] == [
        *("docker unpause r", "docker stop r", "docker rm --force r"),
    ]


def test_a_network_is_recreated_once_nothing_is_connected_to_it(host: Path) -> None:
    _up(host, "r redis running 0 healthy\n", "-caddy", "+infisical_databases", "redis")
    assert [each for each in _calls(host) if " r" in each][:3] == [
        *("docker stop r", "docker rm --force r", "docker network rm infisical_databases"),
    ]


def test_an_unhealthy_container_with_many_restarts_is_recreated(host: Path) -> None:
    found = _up(host, "r redis running 7 unhealthy\np postgres running 7 healthy\n")
    assert found == ["p postgres running 7 healthy"]


def test_up_skips_a_service_that_can_not_run(host: Path) -> None:
    containers = "c caddy restarting 9 none\nr redis dead 0 none\np postgres running 0 healthy\n"
    found = _up(host, containers, "-caddy")
    assert found == ["c caddy restarting 9 none", "p postgres running 0 healthy"]
    (last,) = [each for each in _calls(host) if " up " in each]
    assert last.split()[-5:] == ["up", "--detach", "--remove-orphans", "infisical", "redis"]


@pytest.mark.parametrize(
    ("left", "unhealthy"),
    [((), [("caddy", "restarting", "health none", "9 times")]), (("caddy",), [])],
)
def test_a_skipped_service_is_not_waited_for(
    host: Path, left: tuple[str, ...], unhealthy: list[tuple[str, ...]]
) -> None:
    containers = "caddy restarting none 9\nredis running healthy 0\ninfisical running healthy 0\n"
    (host / "containers").write_text(containers)
    ran = run_with(host, script("stack", "wait", "1", *left), check=True)
    lines = [each for each in ran.stdout.splitlines() if not each.startswith(" ")]
    for line, facts in zip(lines, unhealthy, strict=True):
        assert all(fact in line for fact in facts), line


def test_a_healthy_stack_is_left_unchanged(host: Path) -> None:
    containers = "r redis running 0 healthy\ni infisical exited 2 none\n"
    assert _up(host, containers) == containers.splitlines()


def test_the_connections_of_a_variant_of_compose_yaml_are_compared_with_it(host: Path) -> None:
    (host / "containers").touch()
    variant = host / "closed.yaml"
    variant.write_text("services: {redis: {}}\n")
    ran = run_with(host, f"FILE={variant} {script('stack', 'connections')}", check=True)
    assert "compose services: {redis: {}}" in ran.stdout.splitlines()
