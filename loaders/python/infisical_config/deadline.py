"""Wait for calls for a limited time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def outcomes(calls: Sequence[Callable[[], T]], seconds: float) -> list[Callable[[], T] | None]:
    """Return for each call a function that returns or raises as it did; None if it took too long.

    The calls run in parallel, each in a thread. A thread that takes too long is abandoned, as
    nothing else ends an answer that comes a byte at a time. Threads do not keep the process alive.
    """
    end = time.monotonic() + seconds
    running = [_Running(call) for call in calls]
    for each in running:
        each.join(max(end - time.monotonic(), 0))
    return [each.outcome for each in running]


class _Running(threading.Thread, Generic[T]):
    """A call in its thread; `outcome` is None until it has ended."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(name="infisical-config", daemon=True)
        self._call = call
        self.outcome: Callable[[], T] | None = None
        self.start()

    def run(self) -> None:
        try:
            result = self._call()
        except BaseException as error:
            self.outcome = _raising(error)
        else:
            self.outcome = lambda: result


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def throw() -> NoReturn:
        raise error

    return throw
