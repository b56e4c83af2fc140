"""Test that the output of a machine is parsed into the facts that operations use."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.host import deploy
from infisical_iac.host.machine import CALLS_PRIVATE, DATA_VOLUME, UNDONE, Machine


def test_the_machine_is_read_in_one_command() -> None:
    output = ["os debian 13 trixie", "uid 0", "arch amd64", "disk 20971520", "systemd", "clock x"]
    machine = Machine().process(output)
    assert (machine.os, machine.release, machine.codename) == ("debian", "13", "trixie")
    assert machine.root
    assert machine.systemd
    assert not machine.deployed
    assert machine.free_disk_gb == pytest.approx(20.0)
    assert machine.clock == "x"


def test_network_access_is_read_without_the_loopback() -> None:
    output = [
        "ssh 203.0.113.9 50022 192.0.2.1 22",
        "sshd 0.0.0.0:2222 [::]:2222 127.0.0.1:2223 [::1]:2223",
        "uplinks eth0 eth0",
        "swarm",
        "spare-volume /dev/disk/by-id/scsi-0HC_Volume_7",
    ]
    machine = Machine().process(output)
    assert machine.ssh_client == "203.0.113.9"
    assert machine.ssh_ports == (22, 2222)
    assert machine.uplinks == ("eth0",)
    assert machine.swarm
    assert machine.spare_volume == "/dev/disk/by-id/scsi-0HC_Volume_7"


def test_a_machine_without_ssh_has_no_ssh_ports() -> None:
    machine = Machine().process(["ssh", "sshd", "uplinks"])
    assert (machine.ssh_client, machine.ssh_ports, machine.uplinks) == ("", (), ())


def test_holders_of_web_ports_are_read_with_dockers_networks() -> None:
    output = ["web80 nginx", "web443 container dokploy-traefik", "networks bridge host"]
    machine = Machine().process(output)
    assert machine.web == {80: "nginx", 443: "container dokploy-traefik"}
    assert machine.networks == {"bridge", "host"}


def test_an_unreadable_machine_has_no_operating_system() -> None:
    assert Machine().process([]).os == ""


@pytest.mark.parametrize(
    ("files", "output"),
    [
        (("var/lib/infisical-restore/undone",), "undone 20261125T101112Z\n"),
        (("var/lib/infisical-restore/undone", "etc/infisical/deployer.env"), ""),
        (("var/lib/infisical-restore/undone", "etc/infisical/workspace.json"), ""),
        ((), ""),
    ],
)
def test_an_undone_restore_is_reported_if_there_is_no_instance(
    tmp_path: Path, files: tuple[str, ...], output: str
) -> None:
    for each in files:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text("20261125T101112Z\n")
    command = UNDONE.replace("/var/", f"{tmp_path}/var/").replace("/etc/", f"{tmp_path}/etc/")
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert ran.stdout == output
    assert Machine().process(ran.stdout.splitlines()).undone == output[7:].strip()


@pytest.mark.parametrize(
    "text",
    [
        deploy.volume_files("u-1")[0].content,
        "ExecStart=/bin/sh /usr/local/lib/infisical-iac/volume.sh mount u-1\n",
    ],
)
def test_the_volume_is_found_in_its_unit_also_in_that_of_an_earlier_version(
    tmp_path: Path, text: str
) -> None:
    unit = tmp_path / "infisical-data.service"
    unit.write_text(text)
    command = DATA_VOLUME.replace("/etc/systemd/system", str(tmp_path))
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert Machine().process(ran.stdout.splitlines()).data_volume == "u-1"


_TRUE = '      ALLOW_INTERNAL_IP_CONNECTIONS: "true"\n'
_FALSE = _TRUE.replace("true", "false")
_RELEASE = "var/backups/infisical-iac/upgrades/20261125T101112Z-v1/compose.yaml"


@pytest.mark.parametrize(
    ("files", "running", "calls_private"),
    [
        ({}, "", False),
        ({"etc/infisical/compose.yaml": _TRUE}, "false", True),
        ({"etc/infisical/compose.yaml": _FALSE}, "false", False),
        # compose.yaml has been replaced, and the container not yet.
        ({"etc/infisical/compose.yaml": _FALSE}, "true", True),
        # A node of a cluster may have a container without the file.
        ({}, "true", True),
        # A single host's file is left behind once the host leads a cluster.
        ({"etc/infisical/stack.yaml": _FALSE, "etc/infisical/compose.yaml": _TRUE}, "", False),
        ({_RELEASE: _TRUE, "etc/infisical/compose.yaml": _FALSE}, "", False),
        (
            {
                _RELEASE: _TRUE,
                "var/lib/infisical-upgrade/state": "20261125T101112Z-v1 swapped v2\n",
                "etc/infisical/compose.yaml": _FALSE,
            },
            "",
            True,
        ),
    ],
)
def test_an_infisical_that_calls_private_addresses_is_found(
    tmp_path: Path, files: dict[str, str], running: str, calls_private: bool
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    docker = f"""
docker() {{
    case "$*" in
    ps*) echo id ;;
    inspect*) printf '%s\\n' NODE_ENV=production ALLOW_INTERNAL_IP_CONNECTIONS={running} ;;
    esac
}}
xargs() {{ docker inspect; }}
"""
    command = CALLS_PRIVATE.replace("/var/", f"{tmp_path}/var/").replace(
        "/etc/", f"{tmp_path}/etc/"
    )
    ran = subprocess.run(["sh", "-c", docker + command], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert Machine().process(ran.stdout.splitlines()).calls_private is calls_private
