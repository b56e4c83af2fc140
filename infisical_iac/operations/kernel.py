"""Kernel parameters in effect, and no swap that would keep memory in clear."""

import shlex
from collections.abc import Mapping

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run
from infisical_iac.facts.kernel import Kernel

_WITHOUT_SWAP = r"sed -i.before-infisical-iac -E 's/^([^#]\S*\s+\S+\s+swap\s)/# \1/' /etc/fstab"


# What does not fit into memory would cost some process of the host its life, on a shared one
# perhaps another's.
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
    """Commands of the shell that turn swap off, if memory has room for what `device` holds."""
    return _IF_IT_FITS.format(device=shlex.quote(device))


@telling_operation
def settled(values: Mapping[str, str], *, swap_off: bool) -> Commands:
    """Bring `values`, which a file holds for the next boot, into effect.

    Those that the kernel lacks are passed over.
    systemd takes its limit on core dumps from its own files again if it isn't 0. With
    `swap_off`, swap that isn't encrypted is turned off, now and in `/etc/fstab`.
    """
    kernel = host.get_fact(Kernel, parameters=list(values))
    swap = kernel.swap if swap_off else ()
    if kernel.swap and not swap_off and state.is_executing:
        kept = ", ".join(kernel.swap)
        logger.info(f"{host.print_prefix}swap in clear is kept, as setting 'swap' says: {kept}")
    wrong = [name for name, value in values.items() if kernel.parameters.get(name, value) != value]
    if not wrong and not swap and kernel.core_limit == "0":
        host.noop("kernel parameters are in effect")
        return
    for name in wrong:
        journal.item("~", f"kernel parameter {name}", f"{kernel.parameters[name]} → {values[name]}")
    if wrong:
        pairs = shlex.join(f"{name}={values[name]}" for name in wrong)
        yield step(run, f"sysctl --quiet --write {pairs}", doing="set kernel parameters")
    if kernel.core_limit != "0":
        journal.item("~", "core dumps of services", f"limit {kernel.core_limit} → 0")
        yield step(run, "systemctl daemon-reexec", doing="let systemd read its limits again")
    for device in swap:
        journal.item("-", f"swap on {device}")
        yield step(run, without_swap(device), doing=f"turn off swap on {device}")
    if swap:
        yield step(run, _WITHOUT_SWAP, doing="take swap out of /etc/fstab")
