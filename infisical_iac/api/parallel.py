"""Reads side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_MOST_AT_ONCE = 8

Result = TypeVar("Result")


def gather(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Call all of them, at most eight at once, and return their results in the same order.

    The first that fails, in that order, raises its exception; those not begun are dropped.
    Threads do under pyinfra's command line too, where gevent makes greenlets of them.
    """
    if not calls:
        return []
    with ThreadPoolExecutor(max_workers=min(len(calls), _MOST_AT_ONCE)) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
