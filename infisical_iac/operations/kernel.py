"""Kernel parameters in effect, and no swap that would keep memory in clear."""

import shlex
from collections.abc import Mapping

from pyinfra import logger
from pyinfra.context import host, state

from infisical_iac.facts.kernel import Kernel
from infisical_iac.operations import journal
from infisical_iac.operations.remote import run
from infisical_iac.operations.telling import Commands, step, telling_operation

_WITHOUT_SWAP = r"sed -i.before-infisical-iac -E 's/^([^#]\S*\s+\S+\s+swap\s)/# \1/' /etc/fstab"


@telling_operation
def settled(values: Mapping[str, str], *, path: str, swap_off: bool) -> Commands:
    """Bring `values`, which the file `path` holds for the next boot, into effect.

    systemd takes its limit on core dumps from its own files again if it isn't 0. With
    `swap_off`, swap that isn't encrypted is turned off, now and in `/etc/fstab`.
    """
    kernel = host.get_fact(Kernel, parameters=list(values))
    swap = kernel.swap if swap_off else ()
    if kernel.swap and not swap_off and state.is_executing:
        kept = ", ".join(kernel.swap)
        logger.info(f"{host.print_prefix}swap in clear is kept, as setting 'swap' says: {kept}")
    wrong = [name for name, value in values.items() if kernel.parameters.get(name) != value]
    if not wrong and not swap and kernel.core_limit == "0":
        host.noop("kernel parameters are in effect")
        return
    for name in wrong:
        before = kernel.parameters.get(name, "none")
        journal.item("~", f"kernel parameter {name}", f"{before} → {values[name]}")
    if wrong:
        yield step(run, f"sysctl --quiet --load {shlex.quote(path)}", doing=f"load {path}")
    if kernel.core_limit != "0":
        journal.item("~", "core dumps of services", f"limit {kernel.core_limit} → 0")
        yield step(run, "systemctl daemon-reexec", doing="let systemd read its limits again")
    for device in swap:
        journal.item("-", f"swap on {device}")
        yield step(run, f"swapoff {shlex.quote(device)}", doing=f"turn off swap on {device}")
    if swap:
        yield step(run, _WITHOUT_SWAP, doing="take swap out of /etc/fstab")
