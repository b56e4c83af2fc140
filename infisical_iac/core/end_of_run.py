"""The end of a run, in the audit log."""

from pyinfra.api.deploy import deploy
from pyinfra.context import host, state

from infisical_iac.core import audit, journal
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.operation import Commands, step, telling_operation


@telling_operation
def ended() -> Commands:
    """Write what the run has changed, if it has changed anything; fail where a part is blocked."""
    run = journal.current()
    blocked = "; ".join(map(str, run.blocked))
    if run.changed if state.is_executing else run.planned or run.unknown:
        yield step(audit.end, reason=blocked)
    elif not blocked:
        host.noop("the run has changed nothing")
    if blocked and not run.is_read:
        yield step(_fail, blocked)


def _fail(sentence: str) -> None:
    raise RunFailed(sentence, code="run.blocked")


@deploy("Audit")
def record() -> None:
    """Write what the run has changed into the audit log."""
    ended(name="Record what the run changed")
