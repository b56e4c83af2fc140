"""Kernel parameters in effect, and no swap that would keep memory in clear."""

from collections.abc import Mapping

from pyinfra import logger
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.context import host, state

from infisical_iac.facts.kernel import Kernel
from infisical_iac.operations.telling import Commands, telling_operation


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
    if wrong:
        yield StringCommand("sysctl", "--quiet", "--load", QuoteString(path))
    if kernel.core_limit != "0":
        yield StringCommand("systemctl", "daemon-reexec")
    for device in swap:
        yield StringCommand("swapoff", QuoteString(device))
    if swap:
        yield StringCommand(
            r"sed -i.before-infisical-iac -E 's/^([^#]\S*\s+\S+\s+swap\s)/# \1/' /etc/fstab"
        )
