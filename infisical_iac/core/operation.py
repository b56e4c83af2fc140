"""The base of all operations, and the one that ends each run.

An operation inspects the host, reports differences, and removes them. A failure is reported as one
sentence.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from pyinfra import logger
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host, state

from infisical_iac.core import agent, audit, journal
from infisical_iac.core.change import Change, Unknown, UpToDate
from infisical_iac.core.connection import LOST, explain_loss
from infisical_iac.core.errors import Refused, RunFailed, UserError
from infisical_iac.core.journal import Decided

P = ParamSpec("P")
T = TypeVar("T")


class Refusal(PyinfraError):
    """A UserError that passes through pyinfra's command line, before anything has changed."""

    def __init__(self, sentence: str, code: str = Refused.code) -> None:
        super().__init__(sentence)
        self.code = code

    # pyinfra prints the traceback of an error, which does not help a user. It must be a property,
    # as gevent sets a plain attribute again.
    __traceback__ = property(lambda self: None, lambda self, value: None)


# The decisions of an operation, given the state of the host (see journal.py).
Commands = Iterator[Decided]


def step(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> FunctionCommand:
    """Return a command that calls `function` for the host; a UserError fails the operation."""

    def call(state: State, host: Host) -> bool:
        try:
            function(*args, **kwargs)
        except UserError as error:
            failure = str(error)
        except LOST as error:
            failure = explain_loss(host, error, "run again to complete it")
        else:
            return True
        journal.current().failure = failure
        host.log_styled(failure, fg="red", log_func=logger.error)
        return False

    call.__name__ = getattr(function, "__name__", "step")
    return FunctionCommand(call, (), {})


def or_up_to_date(decided: Iterable[Decided], sentence: str) -> Commands:
    """Yield the decisions; without any, yield the `sentence` as the reason."""
    found = [*decided]
    yield from found or [UpToDate(sentence)]


def decide_changes(
    changes: Sequence[Change], command: FunctionCommand, up_to_date: str, unseen: str = ""
) -> Commands:
    """Yield the changes and the command that makes them; for none, why there is nothing to do.

    Args:
        changes: the changes.
        command: makes all of them.
        up_to_date: the sentence for no changes.
        unseen: why the changes can't be seen yet; the command runs nevertheless. Empty if they can.
    """
    if not unseen and not changes:
        yield UpToDate(up_to_date)
        return
    yield from [Unknown(unseen)] if unseen else changes
    yield command


def shared_fact(fact: type[FactBase[T]], **arguments: Any) -> T:
    """Return a fact that several operations read, without reading it again.

    An answer from `agent.inspect_ahead` is used if there is one. Once the run has made a change,
    the fact is read each time.
    """
    if agent.is_answered(asked := agent.fact_question(fact, **arguments)):
        return agent.inspect(asked)
    run, key = journal.current(), f"{fact.__name__} {arguments}"
    if journal.has_changed_any_host() or key not in run.facts:
        run.facts[key] = host.get_fact(fact, **arguments)
    found: T = run.facts[key]
    return found


def planned_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """Make an operation of a generator that inspects the host and yields what is to be done.

    It is pyinfra's `@operation()`, with these differences:

    * The plan that was made while pyinfra prepared stays valid until the run changes something.
    * A UserError of the generator blocks the operation, and the operations that need it
      (journal.py). The run does all the rest, and fails at its end.
    * If the journal's `goes_on` is False, as on a new host or in a restore, a UserError ends the
      run: while pyinfra prepares, before anything has changed; while it executes, at this point.
    """

    @wraps(function)
    def commands(*args: P.args, **kwargs: P.kwargs) -> Generator[PyinfraCommand, None, None]:
        run, operation = journal.current(), str(host.current_op_hash)
        (name,) = state.get_op_meta(operation).names
        if state.is_executing and run.is_current(operation):
            found = run.plans[operation]
        else:
            try:
                found = run.plan(operation, name, partial(function, *args, **kwargs))
            except UserError as error:
                if not state.is_executing:
                    raise Refusal(str(error), error.code) from None
                yield step(_fail, error)
                return
            if not state.is_executing and not run.is_read:
                whole = [f"! {name}: blocked: {found.blocked}"] if found.blocked else []
                for each in (*whole, *found.stuck):
                    logger.warning(f"{host.print_prefix}{each}")
        if state.is_executing and found.commands and not run.has_changed:
            run.has_changed = True
            yield step(audit.begin)
        yield from found.commands
        if state.is_executing:
            run.made_changes += [*found.made_before, *found.changes]

    return operation()(commands)


def _fail(error: UserError) -> None:
    raise error


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
    yield from decide_end(blocked, has_changes=has_changes, is_read=run.is_read)


def decide_end(blocked: str, *, has_changes: bool, is_read: bool) -> Commands:
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
        yield step(_fail, RunFailed(blocked, code="run.blocked"))


@deploy("Audit")
def record_run() -> None:
    """Record the changes of the run in the audit log."""
    closing_entry(name="Record what the run changed")
