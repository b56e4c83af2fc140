"""How operations fail: one sentence in red, never a traceback."""

from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec

from pyinfra import logger
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import state

from infisical_iac.errors import UserError

P = ParamSpec("P")


class Refusal(PyinfraError):
    """A UserError on its way through pyinfra's command line, before anything has changed."""

    # pyinfra prints where an error was raised, which says nothing to whoever can cure it.
    # gevent sets the attribute anew, so that a plain one would not stay empty.
    __traceback__ = property(lambda self: None, lambda self, value: None)


Commands = Generator[PyinfraCommand, None, None]


def step(function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> FunctionCommand:
    """The command that calls `function` on the host; a UserError fails the operation."""

    def call(state: State, host: Host) -> bool:
        try:
            function(*args, **kwargs)
        except UserError as error:
            host.log_styled(str(error), fg="red", log_func=logger.error)
            return False
        return True

    call.__name__ = function.__name__
    return FunctionCommand(call, (), {})


def telling_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """pyinfra's `@operation()`, with a UserError told as a sentence.

    While pyinfra prepares, the error ends the run before anything has changed; while it
    executes, the operation fails, which ends the run at this point.
    """

    @wraps(function)
    def commands(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            yield from function(*args, **kwargs)
        except UserError as error:
            if not state.is_executing:
                raise Refusal(str(error)) from None
            yield step(_fail, error)

    return operation()(commands)


def _fail(error: UserError) -> None:
    raise error
