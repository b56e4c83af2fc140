"""Packages, with patience for a host whose first boot still holds apt's locks."""

from collections.abc import Sequence

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.context import host

from infisical_iac.facts.packages import Packages
from infisical_iac.operations.telling import Commands, telling_operation

# A lists' refresh fails at times while a mirror is being updated; a second one does not.
_UPDATE = (
    "for attempt in 1 2 3; do apt-get {options} --error-on=any update && break; "
    "test $attempt -lt 3 || exit 1; sleep $((attempt * 5)); done"
)


@telling_operation
def packages(names: Sequence[str], *, timeout: int, release: str = "") -> Commands:
    """Install those of `names` that are missing.

    `timeout` bounds the wait for the locks of another apt, in seconds. `release` is the
    suite to take them from where that isn't the default one.
    """
    present = host.get_fact(Packages, names=list(names))
    missing = [name for name in names if name not in present]
    if not missing:
        host.noop(f"packages {', '.join(names)} are installed")
        return
    options = f"--quiet=2 --option=DPkg::Lock::Timeout={timeout} --option=Acquire::Retries=3"
    yield StringCommand(
        "export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a;",
        _UPDATE.format(options=options) + ";",
        f"apt-get {options} --yes --no-install-recommends",
        "--option=Dpkg::Options::=--force-confdef --option=Dpkg::Options::=--force-confold",
        *([f"--target-release={release}"] if release else []),
        "install",
        *(QuoteString(name) for name in missing),
    )
