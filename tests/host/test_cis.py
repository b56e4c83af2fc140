"""Test what CIS's Docker benchmark asks for and other files here do not check.

Numbers are those of version 1.6.0; docs/operate/host.md lists what does not apply, and why.
"""

from typing import Any

import pytest

from tests.host.connection import Host
from tests.host.containers import SERVICES, Inspected, Running

# Debian's packages bring the first, and the others are there where the engine is this project's.
_OPTIONAL = ("/etc/default/docker", "/etc/docker", "/etc/docker/daemon.json")

each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def config(inspections: dict[str, Inspected], any_service: str) -> dict[str, Any]:
    found: dict[str, Any] = inspections[any_service]["HostConfig"]
    return found


def test_2_5_every_registry_must_prove_itself(info: dict[str, Any]) -> None:
    insecure = info["RegistryConfig"]["InsecureRegistryCIDRs"]
    assert set(insecure) <= {"127.0.0.0/8", "::1/128"}


def test_2_6_the_storage_driver_is_a_maintained_one(info: dict[str, Any]) -> None:
    assert info["Driver"] in ("overlay2", "overlayfs")


def test_2_18_nothing_experimental_runs(info: dict[str, Any]) -> None:
    assert info["ExperimentalBuild"] is False


@pytest.mark.parametrize(
    ("path", "group", "most"),
    [
        ("/lib/systemd/system/docker.service", "root", 0o644),  # 3.1, 3.2
        ("/lib/systemd/system/docker.socket", "root", 0o644),  # 3.3, 3.4
        ("/etc/docker", "root", 0o755),  # 3.5, 3.6
        ("/run/docker.sock", "docker", 0o660),  # 3.15, 3.16
        ("/etc/docker/daemon.json", "root", 0o644),  # 3.17, 3.18
        ("/etc/default/docker", "root", 0o644),  # 3.19, 3.20
        ("/run/containerd/containerd.sock", "root", 0o660),  # 3.23, 3.24
        ("/var/lib/docker", "root", 0o711),
    ],
)
def test_3_what_is_the_engines_belongs_to_root(
    host: Host, path: str, group: str, most: int
) -> None:
    file = host.file(path)
    if not file.exists:
        assert path in _OPTIONAL, f"{path} is missing"
        pytest.skip(f"this engine has no {path}")
    assert (file.user, file.group) == ("root", group)
    assert file.mode & 0o777 & ~most == 0, oct(file.mode)


# Not Caddy, which is root with one capability: see docs/operate/host.md, and test_caddy.py.
@each_service
def test_4_1_the_image_is_made_to_run_as_a_user(
    inspections: dict[str, Inspected], running: dict[str, Running], service: str
) -> None:
    first = min(running[service].processes, key=int)
    assert running[service].processes[first]["Uid"][0] != "0"


def test_5_7_no_ssh_server_runs_inside(
    host: Host, inspections: dict[str, Inspected], any_service: str
) -> None:
    # Without the users: the host may call one of the container's so.
    processes = host.check_output("docker top %s -eo pid,args", inspections[any_service]["Id"])
    assert "sshd" not in processes


def test_5_17_its_memory_for_processes_is_its_own(config: dict[str, Any]) -> None:
    assert config["IpcMode"] in ("private", "none")


def test_5_18_it_sees_no_device_of_the_host(config: dict[str, Any]) -> None:
    assert not config["Devices"]
    assert not config["DeviceRequests"]


def test_5_20_what_is_mounted_inside_does_not_spread(
    inspections: dict[str, Inspected], any_service: str
) -> None:
    spread = [each["Propagation"] for each in inspections[any_service]["Mounts"]]
    assert "shared" not in spread
    assert "rshared" not in spread


def test_5_22_its_system_calls_are_filtered(config: dict[str, Any]) -> None:
    options = config["SecurityOpt"] or []
    assert [each for each in options if "unconfined" in each] == []


def test_5_25_it_is_in_no_control_group_that_somebody_chose(config: dict[str, Any]) -> None:
    assert config["CgroupParent"] == ""


def test_5_30_it_is_not_in_dockers_own_network(
    inspections: dict[str, Inspected], any_service: str
) -> None:
    assert "bridge" not in inspections[any_service]["NetworkSettings"]["Networks"]


def test_5_31_it_is_in_no_other_user_namespace_than_the_engines(config: dict[str, Any]) -> None:
    assert config["UsernsMode"] == ""


def test_5_32_the_engines_socket_is_not_inside(
    inspections: dict[str, Inspected], any_service: str
) -> None:
    sources = [each.get("Source", "") for each in inspections[any_service]["Mounts"]]
    assert [each for each in sources if each.endswith(("docker.sock", "containerd.sock"))] == []
