"""Test that the output of a machine is parsed into the facts that operations use."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from infisical_iac.core.errors import Refused
from infisical_iac.host import deploy, machine
from infisical_iac.host.machine import (
    CALLS_PRIVATE,
    DATA_VOLUME,
    UNDONE,
    machine_question,
    parse_machine,
)
from infisical_iac.host.model import MachineState


def test_the_machine_is_read_in_one_command() -> None:
    output = ["os debian 13 trixie", "uid 0", "arch amd64", "disk 20971520", "systemd", "clock x"]
    found = parse_machine(output)
    assert (found.os, found.release, found.codename) == ("debian", "13", "trixie")
    assert found.root
    assert found.systemd
    assert not found.deployed
    assert found.free_disk_gb == pytest.approx(20.0)
    assert found.clock == "x"


def test_network_access_is_read_without_the_loopback() -> None:
    output = [
        "ssh 203.0.113.9 50022 192.0.2.1 22",
        "sshd 0.0.0.0:2222 [::]:2222 127.0.0.1:2223 [::1]:2223",
        "uplinks eth0 eth0",
        "spare-volume /dev/disk/by-id/scsi-0HC_Volume_7",
    ]
    found = parse_machine(output)
    assert found.ssh_client == "203.0.113.9"
    assert found.ssh_ports == (22, 2222)
    assert found.uplinks == ("eth0",)
    assert found.spare_volume == "/dev/disk/by-id/scsi-0HC_Volume_7"


def test_a_machine_without_ssh_has_no_ssh_ports() -> None:
    found = parse_machine(["ssh", "sshd", "uplinks"])
    assert (found.ssh_client, found.ssh_ports, found.uplinks) == ("", (), ())


@pytest.mark.parametrize("which", ["upgrading", "rotating"])
def test_a_change_of_a_newer_tool_refuses_other_changes(which: str) -> None:
    found = parse_machine([f'{which} {{"step": "a step of a newer version"}}'])
    assert (found.upgrading, found.rotating) == ("", "")
    with pytest.raises(Refused) as refused:
        found.refuse_changing()
    assert refused.value.code == "refused.newer_tool"


_LINES = ["os debian 13 trixie", "uid 0", "systemd"]


def test_others_and_the_web_ports_are_read_with_the_machine() -> None:
    others = {"names": ["web"], "in_swarm": True, "is_own": False}
    web = {"holders": {"80": "nginx", "443": "container traefik"}, "networks": ["bridge", "host"]}
    found = machine_question().read([_LINES, others, web])
    assert (found.os, found.swarm, found.others) == ("debian", True, ("web",))
    assert found.web == {80: "nginx", 443: "container traefik"}
    assert found.networks == {"bridge", "host"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests to a host that lacks the agent."""
    made: list[str] = []
    full = MachineState(os="debian", release="13", root=True, systemd=True, others=("web",))
    monkeypatch.setattr(machine, "ask_if_there", lambda _: made.append("question"))

    def deliver(_: object) -> MachineState:
        made.append("agent")
        return full

    monkeypatch.setattr(machine, "ask", deliver)
    return made


@pytest.mark.parametrize(
    ("lines", "delivered"),
    [
        (_LINES, True),
        # Such as a system that was upgraded to a version that this tool does not know.
        (["os debian 99", "uid 0", "systemd", "deployed"], True),
        (["os debian 99", "uid 0", "systemd"], False),
        (["os debian 13 trixie", "uid 1000", "systemd"], False),
        (["os debian 13 trixie", "uid 0"], False),
        ([], False),
    ],
)
def test_a_host_that_is_refused_does_not_get_the_agent(
    sent: list[str], monkeypatch: pytest.MonkeyPatch, lines: list[str], delivered: bool
) -> None:
    probed = machine.Probe().process(lines) if lines else machine.Probe().default()
    monkeypatch.setattr(machine, "host", SimpleNamespace(get_fact=lambda _: probed))
    found = machine.read_machine()
    assert sent == ["question", *(["agent"] if delivered else [])]
    assert found.others == (("web",) if delivered else ())
    assert found.root is (delivered or "uid 0" in lines)


def test_the_probe_reads_what_refuses_a_host() -> None:
    ran = subprocess.run(
        ["sh", "-c", machine.Probe().command()], capture_output=True, text=True, check=True
    )
    found = machine.Probe().process(ran.stdout.splitlines())
    assert found.os
    assert found.root is (os.geteuid() == 0)


def test_an_unreadable_machine_has_no_operating_system() -> None:
    assert parse_machine([]).os == ""


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
    assert parse_machine(ran.stdout.splitlines()).undone == output[7:].strip()


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
    assert parse_machine(ran.stdout.splitlines()).data_volume == "u-1"


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
    assert parse_machine(ran.stdout.splitlines()).calls_private is calls_private
