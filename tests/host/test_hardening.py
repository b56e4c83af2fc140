"""Test what the host is hardened with, in effect: shells, modes, journal, updates."""

import pytest

from infisical_iac.core.files import Paths
from infisical_iac.core.settings import Settings
from infisical_iac.host.hardening import without_window
from infisical_iac.host.model import MachineState
from tests.host.connection import Host
from tests.host.containers import Inspected

TIMER = "infisical-maintenance.timer"
# What cron runs, and who may become root: at most these modes.
_MODES = {
    "/etc/crontab": 0o600,
    "/etc/cron.d": 0o700,
    "/etc/cron.hourly": 0o700,
    "/etc/cron.daily": 0o700,
    "/etc/cron.weekly": 0o700,
    "/etc/cron.monthly": 0o700,
    "/etc/ssh/sshd_config": 0o600,
    "/etc/sudoers.d": 0o750,
}


@pytest.mark.usefixtures("hardening")
def test_a_login_makes_files_that_are_not_for_everybody(host: Host) -> None:
    assert host.check_output("bash -lc umask") == "0027"


@pytest.mark.usefixtures("hardening")
def test_nothing_of_cron_sudo_and_sshd_is_more_open_than_it_should_be(host: Host) -> None:
    fact = Paths()
    states = fact.process(host.check_output(fact.command([*_MODES])).splitlines())
    assert "/etc/ssh/sshd_config" in states
    modes = {path: int(state.mode, 8) & 0o777 for path, state in states.items()}
    assert {path: oct(mode) for path, mode in modes.items() if mode & ~_MODES[path]} == {}


@pytest.mark.usefixtures("hardening")
def test_the_journal_outlives_a_boot(host: Host) -> None:
    machine = host.file("/etc/machine-id").content_string.strip()
    assert host.file(f"/var/log/journal/{machine}/system.journal").exists


def test_containers_are_confined_by_apparmor_where_the_kernel_has_it(
    machine: MachineState, inspections: dict[str, Inspected]
) -> None:
    profiles = {each["AppArmorProfile"] for each in inspections.values()}
    assert profiles == ({"docker-default"} if machine.apparmor else {""})


def test_auditd_runs_where_it_is_enabled(host: Host, settings: Settings) -> None:
    if settings.host.auditd == "off":
        pytest.skip("setting 'auditd' is off")
    assert host.service("auditd").is_running


def test_unattended_upgrades_leave_docker_and_reboots_to_the_window(host: Host) -> None:
    lines = str(host.check_output("apt-config dump Unattended-Upgrade")).splitlines()
    assert 'Unattended-Upgrade::Package-Blacklist:: "docker";' in lines
    assert 'Unattended-Upgrade::Package-Blacklist:: "containerd";' in lines
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in lines


def test_the_maintenance_window_opens(
    host: Host, settings: Settings, machine: MachineState
) -> None:
    if why := without_window(settings, machine):
        pytest.skip(why)
    assert host.check_output("systemctl is-enabled %s", TIMER) == "enabled"
    assert host.check_output("systemctl is-active %s", TIMER) == "active"


def test_no_maintenance_window_opens_without_one(
    host: Host, settings: Settings, machine: MachineState
) -> None:
    if not without_window(settings, machine):
        pytest.skip("there is a maintenance window")
    assert host.run("systemctl is-active %s", TIMER).stdout.strip() == "inactive"
