"""Test the rules of CIS's Docker benchmark that no other file here checks.

Numbers are those of version 1.6.0; docs/operate/host.md lists the rules that do not apply, and why.
"""

from typing import Any

import pytest

from tests.host.connection import Host
from tests.host.containers import SERVICES, Inspected, Running

# Debian's packages have the first; the others exist only if this project manages the engine.
_OPTIONAL = ("/etc/default/docker", "/etc/docker", "/etc/docker/daemon.json")

each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def config(inspections: dict[str, Inspected], any_service: str) -> dict[str, Any]:
    found: dict[str, Any] = inspections[any_service]["HostConfig"]
    return found


def test_2_5_every_registry_needs_tls(info: dict[str, Any]) -> None:
    insecure = info["RegistryConfig"]["InsecureRegistryCIDRs"]
    assert set(insecure) <= {"127.0.0.0/8", "::1/128"}


def test_2_6_the_storage_driver_is_a_maintained_one(info: dict[str, Any]) -> None:
    assert info["Driver"] in ("overlay2", "overlayfs")


def test_2_18_experimental_features_are_off(info: dict[str, Any]) -> None:
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
def test_3_files_of_the_engine_belong_to_root(host: Host, path: str, group: str, most: int) -> None:
    file = host.file(path)
    if not file.exists:
        assert path in _OPTIONAL, f"{path} is missing"
        pytest.skip(f"this engine has no {path}")
    assert (file.user, file.group) == ("root", group)
    assert file.mode & 0o777 & ~most == 0, oct(file.mode)


# Caddy is left out: it is root with one capability, see docs/operate/host.md and test_caddy.py.
@each_service
def test_4_1_the_container_starts_as_another_user_than_root(
    inspections: dict[str, Inspected], running: dict[str, Running], service: str
) -> None:
    first = min(running[service].processes, key=int)
    assert running[service].processes[first]["Uid"][0] != "0"


def test_5_7_no_ssh_server_runs_in_the_container(
    host: Host, inspections: dict[str, Inspected], any_service: str
) -> None:
    # The column of users is left out: the host may name a user of the container `sshd`.
    processes = host.check_output("docker top %s -eo pid,args", inspections[any_service]["Id"])
    assert "sshd" not in processes


def test_5_17_the_container_shares_no_ipc_namespace(config: dict[str, Any]) -> None:
    assert config["IpcMode"] in ("private", "none")


def test_5_18_the_container_has_no_device_of_the_host(config: dict[str, Any]) -> None:
    assert not config["Devices"]
    assert not config["DeviceRequests"]


def test_5_20_mounts_do_not_propagate_to_the_host(
    inspections: dict[str, Inspected], any_service: str
) -> None:
    spread = [each["Propagation"] for each in inspections[any_service]["Mounts"]]
    assert "shared" not in spread
    assert "rshared" not in spread


def test_5_22_system_calls_of_the_container_are_filtered(config: dict[str, Any]) -> None:
    options = config["SecurityOpt"] or []
    assert [each for each in options if "unconfined" in each] == []


def test_5_25_the_container_is_in_the_default_control_group(config: dict[str, Any]) -> None:
    assert config["CgroupParent"] == ""


def test_5_30_the_container_is_not_in_dockers_default_network(
    inspections: dict[str, Inspected], any_service: str
) -> None:
    assert "bridge" not in inspections[any_service]["NetworkSettings"]["Networks"]


def test_5_31_the_container_is_in_the_engines_user_namespace(config: dict[str, Any]) -> None:
    assert config["UsernsMode"] == ""


def test_5_32_the_engines_socket_is_not_in_the_container(
    inspections: dict[str, Inspected], any_service: str
) -> None:
    sources = [each.get("Source", "") for each in inspections[any_service]["Mounts"]]
    assert [each for each in sources if each.endswith(("docker.sock", "containerd.sock"))] == []
