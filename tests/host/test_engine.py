"""Test the Docker engine as this project configures it, unless others such as Dokploy manage it.

If others manage the engine, the containers have these settings themselves, and test_containers.py
checks them.
"""

import json
from typing import Any

import pytest

from infisical_iac.agent import system
from infisical_iac.agent.system import UnitState
from infisical_iac.core.agent import question
from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from infisical_iac.host.shared import not_ours
from tests.host.connection import Connection, Host


@pytest.fixture(scope="session", autouse=True)
def _ours(settings: Settings, machine: MachineState) -> None:
    """Skip the checks if this project does not manage the engine."""
    if why := not_ours(settings, machine):
        pytest.skip(why)


@pytest.fixture(scope="session")
def engine(connection: Connection) -> UnitState:
    unit = "docker.service"
    config = {unit: ["/etc/docker/daemon.json"]}
    return connection.inspect(question(system.units, names=[unit], config=config))[unit]


def test_the_engine_was_started_with_the_configuration_on_disk(engine: UnitState) -> None:
    assert not engine.stale


def test_containers_survive_a_restart_of_the_engine_except_in_a_swarm(
    info: dict[str, Any], settings: Settings
) -> None:
    assert info["LiveRestoreEnabled"] is (settings.cluster.topology == "single")


def test_no_container_may_gain_privileges(info: dict[str, Any]) -> None:
    if int(info["ServerVersion"].split(".")[0]) < 23:
        pytest.skip("an engine before version 23 does not report it")
    assert "name=no-new-privileges" in info["SecurityOptions"]


def test_logs_go_to_files_that_rotate(info: dict[str, Any]) -> None:
    assert info["LoggingDriver"] == "json-file"


def test_no_container_has_a_proxy_process(host: Host) -> None:
    assert host.process.filter(comm="docker-proxy") == []


def test_containers_may_not_dump_core_by_default(host: Host) -> None:
    # CIS 2.8.
    limits = json.loads(host.check_output("cat /etc/docker/daemon.json"))["default-ulimits"]
    assert limits["core"] == {"Name": "core", "Hard": 0, "Soft": 0}
