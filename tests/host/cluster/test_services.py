"""Test the services of a cluster's stack: their number, nodes, secrets and configs."""

import hashlib
from typing import Any

import pytest

from infisical_iac.core.settings import Settings
from tests.host.cluster.observed import Node
from tests.host.secrecy import Secret, lines_holding
from tests.host.stored import confidential
from tests.host.target import Target

_DATA = ("etcd", "postgres", "redis", "sentinel")


def test_the_stack_has_exactly_the_expected_services(
    settings: Settings, services: dict[str, dict[str, Any]]
) -> None:
    numbered = {f"{each}-{number}" for each in _DATA for number in (1, 2, 3)}
    caddy = {"caddy"} if settings.stack.runs_caddy else set()
    assert set(services) == {"infisical", "haproxy", *numbered, *caddy}


def test_each_service_has_its_number_of_running_tasks(
    settings: Settings,
    targets: list[Target],
    services: dict[str, dict[str, Any]],
    tasks: dict[str, list[tuple[str, str]]],
) -> None:
    desired = dict.fromkeys(services, 1) | {"infisical": settings.cluster.infisical_replicas}
    desired |= {each: len(targets) for each in ("haproxy", "caddy") if each in services}
    running = {
        name: sum(state == "running" for _, state in tasks.get(name, [])) for name in services
    }
    assert running == desired


def test_the_replicas_of_infisical_are_on_different_nodes(
    settings: Settings, targets: list[Target], tasks: dict[str, list[tuple[str, str]]]
) -> None:
    where = {node for node, _ in tasks["infisical"]}
    assert len(where) == min(settings.cluster.infisical_replicas, len(targets))


@pytest.mark.parametrize("service", _DATA)
def test_the_members_of_a_data_service_are_on_different_nodes(
    tasks: dict[str, list[tuple[str, str]]], service: str
) -> None:
    where = [tasks[f"{service}-{number}"][0][0] for number in (1, 2, 3)]
    assert len(set(where)) == 3


def test_the_swarm_rolls_back_a_version_that_never_becomes_healthy(
    services: dict[str, dict[str, Any]],
) -> None:
    update = services["infisical"]["Spec"]["UpdateConfig"]
    assert (update["Parallelism"], update["FailureAction"]) == (1, "rollback")
    assert services["infisical"].get("UpdateStatus", {}).get("State") in (None, "completed")


@pytest.mark.parametrize("kind", ["secret", "config"])
def test_the_swarm_keeps_no_unused_secret_or_config(
    manager: Node, services: dict[str, dict[str, Any]], kind: str
) -> None:
    used = {
        each[f"{kind.capitalize()}Name"]
        for service in services.values()
        for each in service["Spec"]["TaskTemplate"]["ContainerSpec"].get(f"{kind.capitalize()}s")
        or ()
    }
    kept = manager.run(f"docker {kind} ls --format '{{{{ .Name }}}}'").split()
    assert sorted(kept) == sorted(used)


def test_a_config_is_named_after_its_content(manager: Node) -> None:
    names = manager.run("docker config ls --format '{{ .Name }}'").split()
    assert names
    for name in names:
        text = manager.connection.quietly(
            f"docker config inspect --format '{{{{ printf \"%s\" .Spec.Data }}}}' {name}"
        ).removesuffix("\n")
        assert name.endswith(hashlib.sha256(text.encode()).hexdigest()[:12]), name


def test_services_and_configs_in_the_swarm_hold_no_secret(
    manager: Node, secrets: dict[str, Secret]
) -> None:
    hidden = confidential(secrets)
    assert hidden
    text = "docker config inspect --format '{{ printf \"%s\" .Spec.Data }}'"
    for command in (
        "docker service ls --quiet | xargs docker service inspect",
        f"docker config ls --quiet | xargs {text}",
    ):
        assert lines_holding(hidden, manager.connection, command) == 0, command
