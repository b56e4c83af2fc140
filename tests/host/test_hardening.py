"""Test the hardening in effect: shells, modes, journal, updates."""

import pytest

from infisical_iac.agent.files import states
from infisical_iac.core.agent import question
from infisical_iac.core.settings import Settings
from infisical_iac.host.hardening import without_window
from infisical_iac.host.model import MachineState
from tests.host.connection import Connection, Host
from tests.host.containers import Inspected

TIMER = "infisical-maintenance.timer"
# The widest modes of the files of cron, sshd and sudo.
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
def test_files_that_a_login_creates_are_closed_to_others(host: Host) -> None:
    assert host.check_output("bash -lc umask") == "0027"


@pytest.mark.usefixtures("hardening")
def test_files_of_cron_sudo_and_sshd_have_narrow_modes(connection: Connection) -> None:
    found = connection.inspect(question(states, paths=[*_MODES]))
    assert "/etc/ssh/sshd_config" in found
    modes = {path: int(state.mode, 8) & 0o777 for path, state in found.items()}
    assert {path: oct(mode) for path, mode in modes.items() if mode & ~_MODES[path]} == {}


@pytest.mark.usefixtures("hardening")
def test_the_journal_is_kept_across_boots(host: Host) -> None:
    machine = host.file("/etc/machine-id").content_string.strip()
    assert host.file(f"/var/log/journal/{machine}/system.journal").exists


def test_apparmor_confines_containers_if_the_kernel_has_it(
    machine: MachineState, inspections: dict[str, Inspected]
) -> None:
    profiles = {each["AppArmorProfile"] for each in inspections.values()}
    assert profiles == ({"docker-default"} if machine.apparmor else {""})


def test_auditd_runs_if_it_is_on(host: Host, settings: Settings) -> None:
    if settings.host.auditd == "off":
        pytest.skip("setting 'auditd' is off")
    assert host.service("auditd").is_running


def test_unattended_upgrades_leave_docker_and_reboots_to_the_window(host: Host) -> None:
    lines = str(host.check_output("apt-config dump Unattended-Upgrade")).splitlines()
    assert 'Unattended-Upgrade::Package-Blacklist:: "docker";' in lines
    assert 'Unattended-Upgrade::Package-Blacklist:: "containerd";' in lines
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in lines


def test_the_maintenance_window_is_scheduled(
    host: Host, settings: Settings, machine: MachineState
) -> None:
    if why := without_window(settings, machine):
        pytest.skip(why)
    assert host.check_output("systemctl is-enabled %s", TIMER) == "enabled"
    assert host.check_output("systemctl is-active %s", TIMER) == "active"


def test_no_maintenance_window_is_scheduled_without_the_setting(
    host: Host, settings: Settings, machine: MachineState
) -> None:
    if not without_window(settings, machine):
        pytest.skip("there is a maintenance window")
    assert host.run("systemctl is-active %s", TIMER).stdout.strip() == "inactive"
