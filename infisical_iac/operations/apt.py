"""Packages, with patience for a host whose first boot still holds apt's locks."""

from collections.abc import Sequence

from pyinfra.context import host

from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.packages import Packages
from infisical_iac.core.remote import run
from infisical_iac.core.rendering import script


@telling_operation
def packages(names: Sequence[str], *, timeout: int) -> Commands:
    """Install those of `names` that are missing.

    `timeout` bounds the wait for the locks of another apt, in seconds.
    """
    present = host.get_fact(Packages, names=list(names))
    missing = [name for name in names if name not in present]
    if not missing:
        host.noop(f"packages {', '.join(names)} are installed")
        return
    for name in missing:
        journal.item("+", f"package {name}")
    doing = f"install {', '.join(missing)}"
    yield step(run, script("apt", str(timeout), *missing), doing=doing)
