"""Test the base of a host: its packages, and the order in which it is set up."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core import apt, files, units
from infisical_iac.host import deploy, kernel
from infisical_iac.host.model import MachineState
from infisical_iac.host.site import Known, Site
from tests.unit.fake_programs import fake_program
from tests.unit.settings_of import settings_of

# The packages of a host without any optional feature.
_LEAST = [
    *("ca-certificates", "curl", "jq", "logrotate", "restic", "unattended-upgrades"),
    "systemd-timesyncd",
]
_MINIMAL = {
    "ingress": "none",
    "site_url": "http://127.0.0.1:8080",
    "firewall": "off",
    "fail2ban": "off",
    "hardening": "off",
    "auditd": "off",
}
_SFTP = {
    "name": "box",
    "repository": "sftp:u1@u1.example.com:backups",
    "host_key": f"ssh-ed25519 {'A' * 68}",
}


class _JoiningSite(Site):
    """A site that records when its host joins the cluster, and when it shares its state."""

    def join(self) -> None:
        _joined.append("join")

    def share(self) -> None:
        _joined.append("share")


_joined: list[str] = []


def _know(machine: MachineState | None = None, **changes: Any) -> Known:
    settings = settings_of(**_MINIMAL | changes)
    return Known(
        settings, machine or MachineState(os="debian", release="13"), _JoiningSite(settings)
    )


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({}, []),
        ({"firewall": "on"}, ["nftables"]),
        ({"fail2ban": "on"}, ["nftables", "fail2ban", "python3-systemd"]),
        ({"auditd": "on"}, ["auditd"]),
        ({"smtp": {"host": "mail", "from_address": "iac@example.com"}}, ["python3"]),
        ({"outbound_proxy": "http://proxy.internal:3128"}, ["python3"]),
        ({"login": {"github": {"client_id": "fake"}}}, ["python3"]),
        ({"license_key": "offline"}, ["python3"]),
        ({"hardening": "on"}, []),  # AppArmor is off in this kernel
        ({"data_volume": "/dev/disk/by-id/scsi-0HC_Volume_1"}, ["e2fsprogs"]),
        ({"backup_targets": (_SFTP,)}, ["openssh-client"]),
        ({"backup_targets": (_SFTP, {**_SFTP, "name": "other"})}, ["openssh-client"]),
    ],
)
def test_a_host_gets_the_packages_of_enabled_features(
    changes: dict[str, Any], added: list[str]
) -> None:
    assert deploy.packages(_know(**changes)) == [*_LEAST, *added]


@pytest.mark.parametrize(("hardening", "added"), [("on", ["apparmor"]), ("off", [])])
def test_a_hardened_host_gets_the_programs_of_its_kernels_apparmor(
    hardening: str, added: list[str]
) -> None:
    machine = MachineState(os="debian", release="13", apparmor=True)
    assert deploy.packages(_know(machine, hardening=hardening)) == [*_LEAST, *added]


def test_a_host_with_another_clock_gets_no_second_clock() -> None:
    machine = MachineState(os="debian", release="13", clock="chrony.service")
    assert deploy.packages(_know(machine)) == _LEAST[:-1]


class _Steps(list[str]):
    """The names of the steps in their order, and the arguments of each."""

    def __init__(self) -> None:
        self.given: dict[str, dict[str, Any]] = {}

    def replace(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        def call(**given: Any) -> None:
            self.append(name)
            self.given[name] = given

        patch.setattr(owner, name, call)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> _Steps:
    """The steps of the base, without any effect."""
    made = _Steps()
    for owner, name in (
        (deploy, "cloud_init"),
        (apt, "packages"),
        (files, "contents"),
        (kernel, "live_parameters"),
        (units, "running"),
    ):
        made.replace(monkeypatch, owner, name)
    return made


def _set_up(**changes: Any) -> None:
    machine = MachineState(
        os="debian", release="13", cloud_init=True, clock=changes.pop("clock", "")
    )
    deploy.base._inner(_know(machine, **changes))


def test_the_base_waits_for_cloud_init_before_it_installs_packages(steps: _Steps) -> None:
    """On the first boot cloud-init holds the lock of apt."""
    _set_up(apt_timeout=123, auditd="on")
    assert steps[:2] == ["cloud_init", "packages"]
    assert steps.given["cloud_init"]["running"] is True
    assert steps.given["cloud_init"]["timeout"] == 123
    assert steps.given["packages"]["timeout"] == 123
    assert steps.given["packages"]["names"] == [*_LEAST, "auditd"]


def test_the_base_configures_updates_and_the_kernel_at_once_and_for_each_boot(
    steps: _Steps,
) -> None:
    _set_up(hardening="on")
    assert {each.path for each in steps.given["contents"]["files"]} == {
        "/etc/apt/apt.conf.d/52infisical-iac",
        "/etc/systemd/system.conf.d/90-infisical-iac.conf",
        "/etc/systemd/coredump.conf.d/90-infisical-iac.conf",
        "/etc/security/limits.d/90-infisical-iac.conf",
        "/etc/sysctl.d/90-infisical-iac.conf",
        "/etc/sysctl.d/99-protect-links.conf",
    }
    assert steps.given["live_parameters"]["values"]["kernel.kptr_restrict"] == "2"


@pytest.mark.parametrize(("swap", "is_turned_off"), [("off", True), ("keep", False)])
def test_the_base_turns_swap_off_unless_the_settings_keep_swap(
    steps: _Steps, swap: str, is_turned_off: bool
) -> None:
    _set_up(swap=swap)
    assert steps.given["live_parameters"]["swap_off"] is is_turned_off


@pytest.mark.parametrize(
    ("clock", "unit"), [("", "systemd-timesyncd.service"), ("chrony.service", "chrony.service")]
)
def test_the_base_keeps_the_hosts_own_clock_and_the_updates_running(
    steps: _Steps, clock: str, unit: str
) -> None:
    _set_up(clock=clock)
    assert steps.given["running"]["units"] == [unit, "unattended-upgrades.service"]


def test_docker_is_installed_behind_the_firewall_and_on_the_data_volume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the volume, Docker would create its data on the host's own disk."""
    steps, known = _Steps(), _know()
    for name in ("base", "firewall", "data_volume", "docker", "watch", "hardening"):
        steps.replace(monkeypatch, deploy, name)
    _joined.clear()
    deploy.foundation(known)
    assert steps == ["base", "firewall", "data_volume", "docker", "watch", "hardening"]
    assert all(given == {"known": known} for given in steps.given.values())
    assert _joined == ["join"]


def test_the_last_step_of_a_deploy_shares_the_hosts_state() -> None:
    _joined.clear()
    deploy.share(_know())
    assert _joined == ["share"]


@pytest.mark.parametrize(("status", "fails"), [(0, False), (2, False), (124, True)])
def test_the_wait_for_cloud_init_fails_only_at_its_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, fails: bool
) -> None:
    """cloud-init exits with 2 for mere warnings, and timeout with 124 at its end."""
    asked = tmp_path / "asked"
    fake_program(tmp_path, "timeout", f'echo "$@" >{asked}\nexit {status}')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    exits: list[int] = []
    monkeypatch.setattr(
        deploy,
        "run",
        lambda command, doing: exits.append(subprocess.run(["sh", "-c", command]).returncode),
    )
    deploy._wait(9)
    assert asked.read_text() == "9 cloud-init status --wait\n"
    assert bool(exits[0]) is fails
