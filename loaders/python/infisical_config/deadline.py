"""Wait for a call for a limited time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def outcome(call: Callable[[], T], seconds: float) -> Callable[[], T] | None:
    """Return a function that returns or raises as the call did; None if the time was over first.

    The call runs in a thread, which is then left behind: nothing else ends an answer that comes a
    byte at a time. The thread does not keep the process alive.
    """
    outcomes: list[Callable[[], T]] = []

    def run() -> None:
        try:
            result = call()
        except BaseException as error:
            outcomes.append(_raising(error))
        else:
            outcomes.append(lambda: result)

    thread = threading.Thread(target=run, name="infisical-config", daemon=True)
    thread.start()
    thread.join(max(seconds, 0))
    return outcomes[0] if outcomes else None


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def throw() -> NoReturn:
        raise error

    return throw
