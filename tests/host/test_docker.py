"""The Docker engine as it runs, not as its files say."""

import json
from typing import Any

import pytest

from infisical_iac.facts.units import Units, UnitState
from tests.host.connection import Host


@pytest.fixture(scope="session")
def info(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output("docker info --format '{{json .}}'"))
    return found


@pytest.fixture(scope="session")
def engine(host: Host) -> UnitState:
    fact, unit = Units(), "docker.service"
    command = fact.command([unit], {unit: ["/etc/docker/daemon.json"]})
    return fact.process(host.check_output(command).splitlines())[unit]


def test_the_engine_is_enabled_and_running(engine: UnitState) -> None:
    assert engine.enabled
    assert engine.active


def test_the_engine_was_started_with_the_configuration_on_disk(engine: UnitState) -> None:
    assert not engine.stale


def test_containers_survive_a_restart_of_the_engine(info: dict[str, Any]) -> None:
    assert info["LiveRestoreEnabled"] is True


def test_system_calls_are_filtered_for_every_container(info: dict[str, Any]) -> None:
    assert any(each.split(",")[0] == "name=seccomp" for each in info["SecurityOptions"])


def test_no_container_may_gain_privileges(info: dict[str, Any]) -> None:
    # Engines before version 23 hold to it without telling.
    tells = int(info["ServerVersion"].split(".")[0]) >= 23
    assert not tells or "name=no-new-privileges" in info["SecurityOptions"]


def test_logs_go_to_files_that_rotate(info: dict[str, Any]) -> None:
    assert info["LoggingDriver"] == "json-file"


def test_the_engine_is_in_no_swarm(info: dict[str, Any]) -> None:
    assert info["Swarm"]["LocalNodeState"] == "inactive"


def test_no_proxy_process_stands_before_a_container(host: Host) -> None:
    assert host.process.filter(comm="docker-proxy") == []


def test_compose_is_usable(host: Host) -> None:
    assert host.run("docker compose version || docker-compose version").rc == 0


def test_the_engines_socket_is_for_root_and_its_group(host: Host) -> None:
    socket = host.file("/run/docker.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "docker", 0o660)


def test_nobody_is_in_the_group_that_rules_the_engine(host: Host) -> None:
    # Who is in it is root on the host and reads every container's environment.
    assert host.check_output("getent group docker").split(":")[3] == ""


def test_an_ordinary_user_can_not_ask_the_engine(host: Host) -> None:
    asked = host.run("setpriv --reuid=65534 --regid=65534 --clear-groups docker ps")
    assert asked.rc != 0
    assert "permission denied" in asked.stderr
