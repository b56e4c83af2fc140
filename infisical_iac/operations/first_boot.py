"""The work that a cloud host does by itself when it starts for the first time."""

from pyinfra.context import host

from infisical_iac.core import journal
from infisical_iac.core.operation import Commands, step, telling_operation
from infisical_iac.core.remote import run


@telling_operation
def finished(*, running: bool, timeout: int) -> Commands:
    """Wait until cloud-init, if it was found `running`, is done; for `timeout` seconds at most."""
    if not running:
        host.noop("no cloud-init is running")
        return
    journal.item("~", "cloud-init", "running → waited for")
    yield step(_wait, timeout)


def _wait(timeout: int) -> None:
    # Its exit status tells of warnings in the user's own cloud-config too: only its end counts.
    run(
        f"timeout {timeout} cloud-init status --wait >/dev/null; test $? != 124",
        doing=f"see cloud-init finish within {timeout} s (setting 'apt_timeout')",
    )
