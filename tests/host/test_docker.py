"""Test the state of the running Docker engine, also of one that others have set up."""

from typing import Any

from infisical_iac.core.settings import Settings
from infisical_iac.host.model import MachineState
from tests.host.connection import Host


def test_the_engine_is_enabled_and_running(host: Host) -> None:
    unit = host.service("docker")
    assert unit.is_enabled
    assert unit.is_running


def test_system_calls_are_filtered_for_every_container(info: dict[str, Any]) -> None:
    assert any(each.split(",")[0] == "name=seccomp" for each in info["SecurityOptions"])


def test_the_engine_is_in_a_swarm_only_if_the_settings_allow_one(
    info: dict[str, Any], machine: MachineState, settings: Settings
) -> None:
    state = info["Swarm"]["LocalNodeState"]
    assert (state != "inactive") == machine.swarm
    if settings.cluster.topology == "swarm":
        allowed = {"active"}
    elif not settings.stack.ingress_kind.is_public and settings.host.firewall == "off":
        allowed = {"active", "inactive"}
    else:
        allowed = {"inactive"}
    assert state in allowed


def test_compose_is_usable(host: Host) -> None:
    assert host.run("docker compose version || docker-compose version").rc == 0


def test_the_engines_socket_is_for_root_and_its_group(host: Host) -> None:
    socket = host.file("/run/docker.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "docker", 0o660)


def test_the_group_docker_is_empty(host: Host) -> None:
    # Its members can become root on the host and read every container's environment.
    assert host.check_output("getent group docker").split(":")[3] == ""


def test_an_ordinary_user_can_not_use_the_engine(host: Host) -> None:
    asked = host.run("setpriv --reuid=65534 --regid=65534 --clear-groups docker ps")
    assert asked.rc != 0
    assert "permission denied" in asked.stderr
