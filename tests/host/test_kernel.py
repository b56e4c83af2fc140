"""Test the kernel's parameters and modules, in effect."""

import pytest

from infisical_iac.agent import system
from infisical_iac.core.agent import question
from tests.host.connection import Connection, Host

# Parameters that a kernel lacks are not checked.
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


@pytest.mark.usefixtures("hardening")
def test_the_kernel_parameters_that_the_kernel_has_are_in_effect(connection: Connection) -> None:
    found = connection.inspect(question(system.kernel, parameters=[*_PARAMETERS])).parameters
    assert "net.ipv4.tcp_syncookies" in found
    wrong = {name: value for name, value in found.items() if value != _PARAMETERS[name]}
    assert wrong == {}


@pytest.mark.usefixtures("hardening")
@pytest.mark.parametrize(
    "module",
    [
        *("dccp", "sctp", "rds", "tipc"),
        *("cramfs", "freevxfs", "hfs", "hfsplus", "jffs2"),
        *("firewire-core", "firewire-ohci", "firewire-sbp2", "usb-storage"),
    ],
)
def test_a_rare_kernel_module_is_blocked(host: Host, module: str) -> None:
    lines = host.file("/etc/modprobe.d/infisical-iac.conf").content_string.splitlines()
    assert f"blacklist {module}" in lines
    assert f"install {module} /bin/false" in lines


@pytest.mark.parametrize("module", ["dccp", "sctp", "rds", "tipc", "usb_storage"])
def test_no_rare_kernel_module_is_loaded(host: Host, module: str) -> None:
    file = host.file("/proc/modules")
    if not file.exists:
        pytest.skip("this kernel takes no modules")
    assert module not in [line.split()[0] for line in file.content_string.splitlines()]
