"""Set kernel parameters and modules, and turn off unencrypted swap.

Forwarding stays on, as Docker needs it. Parameters that a kernel lacks are skipped.
"""

import shlex
from collections.abc import Iterator, Mapping

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.agent import system
from infisical_iac.agent.system import KernelState
from infisical_iac.core.agent import Question, inspect, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import run
from infisical_iac.core.settings import Settings

_SYSCTL = "/etc/sysctl.d/90-infisical-iac.conf"
# Debian 12 has a weaker file of this name, read after ours; a file in /etc replaces it.
_LINKS = "/etc/sysctl.d/99-protect-links.conf"
PARAMETERS = {
    # A program that changed its privileges leaves no core dump.
    "fs.suid_dumpable": "0",
    # Redis forks to save, which reserves a copy of its memory and does not use it.
    "vm.overcommit_memory": "1",
}
HARDENED = {
    # Local users learn less about the kernel and can do less with it.
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
    # Files planted in /tmp and the like can't be used against the user who opens them.
    "fs.protected_fifos": "2",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    # The host accepts no routes from other hosts and sends none.
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


def parameters(settings: Settings) -> dict[str, str]:
    """Return the desired kernel parameters by name."""
    return PARAMETERS | (HARDENED if settings.host.hardening == "on" else {})


def sysctl(values: dict[str, str]) -> Iterator[File]:
    """Yield the files that set the parameters at every boot."""
    # A leading "-" makes sysctl skip a parameter that the kernel lacks.
    lines = {name: f"-{name} = {value}\n" for name, value in values.items()}
    yield File(_SYSCTL, "".join(lines.values()))
    links = [line for name, line in lines.items() if name.startswith("fs.protected_")]
    if links:
        yield File(_LINKS, "".join(links))


# Protocols and file systems that no server needs and that have been used to attack kernels, and
# storage that somebody would have to plug in.
_MODULES = (
    *("dccp", "sctp", "rds", "tipc"),
    *("cramfs", "freevxfs", "hfs", "hfsplus", "jffs2"),
    *("firewire-core", "firewire-ohci", "firewire-sbp2", "usb-storage"),
)


def modules() -> str:
    """Return the file for modprobe; it blocks a module even if another one requires it."""
    lines = (f"blacklist {name}\ninstall {name} /bin/false\n" for name in _MODULES)
    return "".join(lines)


_WITHOUT_SWAP = r"sed -i.before-infisical-iac -E 's/^([^#]\S*\s+\S+\s+swap\s)/# \1/' /etc/fstab"


# If the swapped pages did not fit into memory, the kernel would kill a process, on a shared host
# perhaps somebody else's.
_IF_IT_FITS = r"""
used=$(awk -v device={device} '$1 == device {{ print $4 }}' /proc/swaps)
free=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)
test "${{used:-0}}" -lt "$free" || {{
    echo "it holds $((used / 1024)) MB, and $((free / 1024)) MB of memory are free: stop something \
that runs, or set swap = \"keep\"" >&2
    exit 1
}}
swapoff {device}
"""


def without_swap(device: str) -> str:
    """Return shell commands that turn `device` off as swap if its pages fit into free memory."""
    return _IF_IT_FITS.format(device=shlex.quote(device))


def question_for(values: Mapping[str, str]) -> Question[KernelState]:
    """Return the question that `live_parameters` asks."""
    return question(system.kernel, parameters=[*values])


@planned_operation
def live_parameters(values: Mapping[str, str], *, swap_off: bool) -> Commands:
    """Set the kernel parameters `values` now; a file of `sysctl` sets them at the next boot.

    Parameters that the kernel lacks are skipped. systemd reads its files again if its limit on core
    dumps isn't 0. With `swap_off`, swap that isn't encrypted is turned off, also in `/etc/fstab`.
    """
    kernel = inspect(question_for(values))
    if kernel.swap and not swap_off and state.is_executing:
        kept = ", ".join(kernel.swap)
        logger.info(f"{host.print_prefix}unencrypted swap is kept, as setting 'swap' says: {kept}")
    yield from decide(values, kernel, swap_off=swap_off)


def decide(values: Mapping[str, str], kernel: KernelState, *, swap_off: bool) -> Commands:
    """Decide what to set, by the actual state of the kernel; as `live_parameters` does."""
    swap = kernel.swap if swap_off else ()
    wrong = [name for name, value in values.items() if kernel.parameters.get(name, value) != value]
    if not wrong and not swap and kernel.core_limit == "0":
        yield UpToDate("kernel parameters are in effect")
        return
    for name in wrong:
        yield Change("~", f"kernel parameter {name}", f"{kernel.parameters[name]} → {values[name]}")
    if wrong:
        pairs = shlex.join(f"{name}={values[name]}" for name in wrong)
        yield step(run, f"sysctl --quiet --write {pairs}", doing="set kernel parameters")
    if kernel.core_limit != "0":
        yield Change("~", "core dumps of services", f"limit {kernel.core_limit} → 0")
        yield step(run, "systemctl daemon-reexec", doing="let systemd read its limits again")
    for device in swap:
        yield Change("-", f"swap on {device}")
        yield step(run, without_swap(device), doing=f"turn off swap on {device}")
    if swap:
        yield step(run, _WITHOUT_SWAP, doing="take swap out of /etc/fstab")
