"""The end of a run, in the audit log."""

from pyinfra.context import host, state

from infisical_iac.operations import audit, journal
from infisical_iac.operations.telling import Commands, step, telling_operation


@telling_operation
def ended() -> Commands:
    """Write what the run has changed, if it has changed anything."""
    run = journal.current()
    if not (run.changed if state.is_executing else run.planned or run.unknown):
        host.noop("the run has changed nothing")
        return
    yield step(audit.end)
