"""Define how operations work: they look once, tell what differs, and fail with a sentence."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from pyinfra import logger
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host, state

from infisical_iac.core import audit, journal
from infisical_iac.core.connection import LOST, explain_loss
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.core.item import Item, Unknown, UpToDate
from infisical_iac.core.journal import Decided

P = ParamSpec("P")
T = TypeVar("T")


class Refusal(PyinfraError):
    """A UserError on its way through pyinfra's command line, before anything has changed."""

    def __init__(self, sentence: str, code: str = Refused.code) -> None:
        super().__init__(sentence)
        self.code = code

    # pyinfra prints where an error was raised, which says nothing to whoever can cure it.
    # gevent sets the attribute anew, so that a plain one would not stay empty.
    __traceback__ = property(lambda self: None, lambda self, value: None)


# What an operation decides, by what it was told of the host: see journal.py.
Commands = Iterator[Decided]


def step(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> FunctionCommand:
    """The command that calls `function` on the host; a UserError fails the operation."""

    def call(state: State, host: Host) -> bool:
        try:
            function(*args, **kwargs)
        except UserError as error:
            failure = str(error)
        except LOST as error:
            failure = explain_loss(host, error, "run again, and what is missing is completed")
        else:
            return True
        journal.current().failure = failure
        host.log_styled(failure, fg="red", log_func=logger.error)
        return False

    call.__name__ = getattr(function, "__name__", "step")
    return FunctionCommand(call, (), {})


def or_up_to_date(decided: Iterable[Decided], sentence: str) -> Commands:
    """Return what was decided, or the sentence where that is nothing."""
    found = [*decided]
    yield from found or [UpToDate(sentence)]


def settle(
    items: Sequence[Item], command: FunctionCommand, up_to_date: str, unseen: str = ""
) -> Commands:
    """Return the items and the command that settles them; a sentence where there are none.

    `unseen` tells why nobody can know the items; the command is due then all the same.
    """
    if not unseen and not items:
        yield UpToDate(up_to_date)
        return
    yield from [Unknown(unseen)] if unseen else items
    yield command


def shared_fact(fact: type[FactBase[T]], **arguments: Any) -> T:
    """A fact that several operations look at: read once until the run makes its first change."""
    run, key = journal.current(), f"{fact.__name__} {arguments}"
    if journal.has_changed_any_host() or key not in run.facts:
        run.facts[key] = host.get_fact(fact, **arguments)
    found: T = run.facts[key]
    return found


def telling_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """pyinfra's `@operation()` for a function that looks and yields what is to be done.

    What it found while pyinfra prepared is not read again while the run has changed nothing.

    A UserError that it raises while it looks blocks the operation, and those that need it
    (journal.py); the run does all the rest, and fails at its end. Where the
    journal has the run not go on, as on a host with nothing on it yet or in a restore, it ends the
    run: before anything has changed while pyinfra prepares, at this point while it executes.
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
            run.made_changes += found.changes

    return operation()(commands)


def _fail(error: UserError) -> None:
    raise error
