"""Test what the host is hardened with, in effect: kernel, shells, modes, journal, updates."""

import pytest

from infisical_iac.core.files import Paths
from infisical_iac.core.settings import Settings
from infisical_iac.host.hardening import without_window
from infisical_iac.host.kernel import Kernel
from infisical_iac.host.model import MachineState
from tests.host.connection import Host
from tests.host.containers import Inspected

TIMER = "infisical-maintenance.timer"
# Those that a kernel lacks are not asked of it.
_PARAMETERS = {
    "dev.tty.ldisc_autoload": "0",
    "fs.protected_fifos": "2",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    "kernel.core_uses_pid": "1",
    "kernel.ctrl-alt-del": "0",
    "kernel.dmesg_restrict": "1",
    "kernel.kptr_restrict": "2",
    "kernel.perf_event_paranoid": "3",
    "kernel.randomize_va_space": "2",
    "kernel.sysrq": "0",
    "kernel.unprivileged_bpf_disabled": "1",
    "kernel.yama.ptrace_scope": "1",
    "net.core.bpf_jit_harden": "2",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.all.log_martians": "1",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.all.secure_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv4.conf.default.log_martians": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.default.secure_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv6.conf.all.accept_redirects": "0",
    "net.ipv6.conf.all.accept_source_route": "0",
    "net.ipv6.conf.default.accept_redirects": "0",
    "net.ipv6.conf.default.accept_source_route": "0",
}
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


@pytest.mark.usefixtures("hardened")
def test_kernel_parameters_are_in_effect_as_far_as_the_kernel_has_them(host: Host) -> None:
    fact = Kernel()
    found = fact.process(host.check_output(fact.command([*_PARAMETERS])).splitlines()).parameters
    assert "net.ipv4.tcp_syncookies" in found
    wrong = {name: value for name, value in found.items() if value != _PARAMETERS[name]}
    assert wrong == {}


@pytest.mark.usefixtures("hardened")
@pytest.mark.parametrize(
    "module",
    [
        *("dccp", "sctp", "rds", "tipc"),
        *("cramfs", "freevxfs", "hfs", "hfsplus", "jffs2"),
        *("firewire-core", "firewire-ohci", "firewire-sbp2", "usb-storage"),
    ],
)
def test_a_rare_kernel_module_is_kept_out(host: Host, module: str) -> None:
    lines = host.file("/etc/modprobe.d/infisical-iac.conf").content_string.splitlines()
    assert f"blacklist {module}" in lines
    assert f"install {module} /bin/false" in lines


@pytest.mark.parametrize("module", ["dccp", "sctp", "rds", "tipc", "usb_storage"])
def test_no_rare_kernel_module_is_loaded(host: Host, module: str) -> None:
    file = host.file("/proc/modules")
    if not file.exists:
        pytest.skip("this kernel takes no modules")
    assert module not in [line.split()[0] for line in file.content_string.splitlines()]


@pytest.mark.usefixtures("hardened")
def test_a_login_makes_files_that_are_not_for_everybody(host: Host) -> None:
    assert host.check_output("bash -lc umask") == "0027"


@pytest.mark.usefixtures("hardened")
def test_nothing_of_cron_sudo_and_sshd_is_more_open_than_it_should_be(host: Host) -> None:
    fact = Paths()
    states = fact.process(host.check_output(fact.command([*_MODES])).splitlines())
    assert "/etc/ssh/sshd_config" in states
    modes = {path: int(state.mode, 8) & 0o777 for path, state in states.items()}
    assert {path: oct(mode) for path, mode in modes.items() if mode & ~_MODES[path]} == {}


@pytest.mark.usefixtures("hardened")
def test_the_journal_outlives_a_boot(host: Host) -> None:
    machine = host.file("/etc/machine-id").content_string.strip()
    assert host.file(f"/var/log/journal/{machine}/system.journal").exists


def test_containers_are_confined_by_apparmor_where_the_kernel_has_it(
    machine: MachineState, inspected: dict[str, Inspected]
) -> None:
    profiles = {each["AppArmorProfile"] for each in inspected.values()}
    assert profiles == ({"docker-default"} if machine.apparmor else {""})


def test_auditd_runs_where_it_is_wanted(host: Host, settings: Settings) -> None:
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
