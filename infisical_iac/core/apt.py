"""Install missing packages, and wait for the locks of another apt."""

import shlex
from collections.abc import Collection, Sequence

from pyinfra.context import host

from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.operation import Commands, planned_operation, step
from infisical_iac.core.remote import Fact, run
from infisical_iac.core.rendering import script


class Packages(Fact[frozenset[str]]):
    """Read which packages among `names` are installed and configured, including held packages."""

    def command(self, names: list[str]) -> str:
        query = "dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\\n'"
        return f"{query} {shlex.join(names)} 2>/dev/null || true"

    def process(self, output: list[str]) -> frozenset[str]:
        fields = (line.split() for line in output)
        return frozenset(name for status, name in fields if status in ("ii", "hi"))


@planned_operation
def packages(names: Sequence[str], *, timeout: int) -> Commands:
    """Install the missing packages.

    Args:
        names: the packages that must be installed.
        timeout: the longest wait for the locks of another apt, in seconds.

    Example:
        packages(names=["nftables"], timeout=600, name="Install nftables")
    """
    present = host.get_fact(Packages, names=list(names))
    yield from decide(names, present, timeout=timeout)


def decide(names: Sequence[str], present: Collection[str], *, timeout: int) -> Commands:
    """Decide which packages to install, given those that are `present`."""
    missing = [name for name in names if name not in present]
    if not missing:
        yield UpToDate(f"packages {', '.join(names)} are installed")
        return
    for name in missing:
        yield Change("+", f"package {name}")
    doing = f"install {', '.join(missing)}"
    yield step(run, script("apt", str(timeout), *missing), doing=doing)
