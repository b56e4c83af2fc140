"""The end of a run, in the audit log."""

from pyinfra.api.deploy import deploy
from pyinfra.context import state

from infisical_iac.core import audit, journal
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.item import UpToDate
from infisical_iac.core.operation import Commands, step, telling_operation


@telling_operation
def closing_entry() -> Commands:
    """Write what the run has changed, if it has changed anything; fail where a part is blocked."""
    run = journal.current()
    has_changes = (
        run.has_changed if state.is_executing else bool(run.planned_changes or run.unknown)
    )
    blocked = "; ".join(map(str, run.blocked_parts))
    yield from decide(blocked, has_changes=has_changes, is_read=run.is_read)


def decide(blocked: str, *, has_changes: bool, is_read: bool) -> Commands:
    """Decide what is to be written, by the run's changes and what of it is `blocked`."""
    if has_changes:
        yield step(audit.end, reason=blocked)
    elif not blocked:
        yield UpToDate("the run has changed nothing")
    if blocked and not is_read:
        yield step(_fail, blocked)


def _fail(sentence: str) -> None:
    raise RunFailed(sentence, code="run.blocked")


@deploy("Audit")
def record() -> None:
    """Write what the run has changed into the audit log."""
    closing_entry(name="Record what the run changed")
