"""Kernel parameters and modules.

Forwarding stays as Docker needs it. A parameter that a kernel lacks is not asked of it.
"""

PARAMETERS = {
    # Who is on the host learns less of the kernel, and can do less with it.
    "dev.tty.ldisc_autoload": "0",
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
    # Files of others in /tmp and the like can't be used against whoever opens them.
    "fs.protected_fifos": "2",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    # The host takes no route from strangers and gives none.
    **{
        f"net.{family}.conf.{which}.{name}": "0"
        for family in ("ipv4", "ipv6")
        for which in ("all", "default")
        for name in ("accept_redirects", "accept_source_route")
    },
    **{
        f"net.ipv4.conf.{which}.{name}": value
        for which in ("all", "default")
        for name, value in {
            "log_martians": "1",
            "rp_filter": "1",
            "secure_redirects": "0",
            "send_redirects": "0",
        }.items()
    },
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.icmp_ignore_bogus_error_responses": "1",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_syncookies": "1",
}

# Protocols and file systems that no server needs and that have been ways into kernels, and
# storage that somebody would have to plug in.
_MODULES = (
    *("dccp", "sctp", "rds", "tipc"),
    *("cramfs", "freevxfs", "hfs", "hfsplus", "jffs2"),
    *("firewire-core", "firewire-ohci", "firewire-sbp2", "usb-storage"),
)


def modules() -> str:
    """The text of the file for modprobe; a module is kept out even if another asks for it."""
    lines = (f"blacklist {name}\ninstall {name} /bin/false\n" for name in _MODULES)
    return "".join(lines)
