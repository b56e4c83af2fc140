"""Record the end of a run in the audit log."""

from pyinfra.api.deploy import deploy
from pyinfra.context import state

from infisical_iac.core import audit, journal
from infisical_iac.core.change import UpToDate
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.operation import Commands, planned_operation, step


@planned_operation
def closing_entry() -> Commands:
    """Record the changes of the run, if there are any, and fail if a part is blocked.

    Example:
        closing_entry(name="Record what the run changed")
    """
    run = journal.current()
    has_changes = (
        run.has_changed if state.is_executing else bool(run.planned_changes or run.unknown)
    )
    blocked = "; ".join(map(str, run.blocked_parts))
    yield from decide(blocked, has_changes=has_changes, is_read=run.is_read)


def decide(blocked: str, *, has_changes: bool, is_read: bool) -> Commands:
    """Decide whether to write an entry, and whether to fail.

    Args:
        blocked: the blocked parts, as a sentence; empty for none.
        has_changes: whether the run changes something.
        is_read: whether a command of this project reports the blocked parts itself.
    """
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
    """Record the changes of the run in the audit log."""
    closing_entry(name="Record what the run changed")
