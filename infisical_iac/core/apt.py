"""Install missing packages, and wait for the locks of another apt."""

from collections.abc import Collection, Sequence

from pyinfra.api.command import FunctionCommand

from infisical_iac.agent import system
from infisical_iac.core.agent import Question, inspect, perform, question
from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.operation import Commands, planned_operation, step


def question_for(names: Sequence[str]) -> Question[frozenset[str]]:
    """Return the question that `packages` asks."""
    return question(system.packages, names=[*names])


@planned_operation
def packages(names: Sequence[str], *, timeout: int) -> Commands:
    """Install the missing packages.

    Args:
        names: the packages that must be installed.
        timeout: the longest wait for the locks of another apt, in seconds.

    Example:
        packages(names=["nftables"], timeout=600, name="Install nftables")
    """
    present = inspect(question_for(names))
    yield from decide(names, present, timeout=timeout)


def decide(names: Sequence[str], present: Collection[str], *, timeout: int) -> Commands:
    """Decide which packages to install, given those that are `present`."""
    missing = [name for name in names if name not in present]
    if not missing:
        yield UpToDate(f"packages {', '.join(names)} are installed")
        return
    for name in missing:
        yield Change("+", f"package {name}")
    yield install(missing, timeout=timeout)


def install(names: Sequence[str], *, timeout: int) -> FunctionCommand:
    """Return the step that installs packages; `timeout` is as for `packages`."""
    asked = question(system.install_packages, names=[*names], seconds=timeout)
    return step(perform, asked, doing=f"install {', '.join(names)}")
