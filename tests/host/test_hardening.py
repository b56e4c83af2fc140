"""Test what the host is hardened with, in effect: kernel, shells, modes, journal, updates."""

import pytest

from infisical_iac.core.files import Paths
from infisical_iac.core.settings import Settings
from infisical_iac.host import hardening as wanted
from infisical_iac.host.hardening import without_window
from infisical_iac.host.kernel import HARDENED, Kernel, modules
from infisical_iac.host.machine import MachineState
from tests.host.connection import Host
from tests.host.containers import Inspected

TIMER = "infisical-maintenance.timer"


def test_kernel_parameters_are_in_effect_as_far_as_the_kernel_has_them(
    host: Host, settings: Settings
) -> None:
    fact = Kernel()
    found = fact.process(host.check_output(fact.command([*HARDENED])).splitlines()).parameters
    assert "net.ipv4.tcp_syncookies" in found
    wrong = {name: value for name, value in found.items() if value != HARDENED[name]}
    assert wrong == {} or settings.hardening == "off"


def test_rare_kernel_modules_are_kept_out(host: Host, settings: Settings) -> None:
    file = host.file("/etc/modprobe.d/infisical-iac.conf")
    assert settings.hardening == "off" or file.content_string == modules()


@pytest.mark.parametrize("module", ["dccp", "sctp", "rds", "tipc", "usb_storage"])
def test_no_rare_kernel_module_is_loaded(host: Host, module: str) -> None:
    # A kernel without modules has no such file.
    lines = host.run("cat /proc/modules").stdout.splitlines()
    loaded = [line.split()[0] for line in lines]
    assert module not in loaded


def test_a_login_makes_files_that_are_not_for_everybody(host: Host, settings: Settings) -> None:
    assert settings.hardening == "off" or host.check_output("bash -lc umask") == "0027"


def test_nothing_of_cron_sudo_and_sshd_is_more_open_than_it_should_be(
    host: Host, settings: Settings
) -> None:
    fact = Paths()
    states = fact.process(host.check_output(fact.command([*wanted.MODES])).splitlines())
    assert "/etc/ssh/sshd_config" in states
    assert settings.hardening == "off" or wanted.loose(states) == {}


def test_the_journal_outlives_a_boot(host: Host, settings: Settings) -> None:
    machine = host.file("/etc/machine-id").content_string.strip()
    kept = host.file(f"/var/log/journal/{machine}/system.journal")
    assert settings.hardening == "off" or kept.exists


def test_containers_are_confined_by_apparmor_where_the_kernel_has_it(
    machine: MachineState, inspected: dict[str, Inspected]
) -> None:
    profiles = {each["AppArmorProfile"] for each in inspected.values()}
    assert profiles == ({"docker-default"} if machine.apparmor else {""})


def test_auditd_runs_where_it_is_wanted(host: Host, settings: Settings) -> None:
    assert settings.auditd == "off" or host.service("auditd").is_running


def test_unattended_upgrades_leave_docker_and_reboots_to_the_window(host: Host) -> None:
    lines = str(host.check_output("apt-config dump Unattended-Upgrade")).splitlines()
    assert 'Unattended-Upgrade::Package-Blacklist:: "docker";' in lines
    assert 'Unattended-Upgrade::Package-Blacklist:: "containerd";' in lines
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in lines


def test_the_maintenance_window_opens_if_there_is_one(
    host: Host, settings: Settings, machine: MachineState
) -> None:
    states = host.run("systemctl is-enabled %s; systemctl is-active %s", TIMER, TIMER).stdout
    there = not without_window(settings, machine)
    assert (states.split() == ["enabled", "active"]) == there
