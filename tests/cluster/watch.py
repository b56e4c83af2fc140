"""Whether there ever are two primaries: asked every few seconds, all the while."""

import itertools
import threading
from collections.abc import Callable, Sequence

from tests.cluster.nodes import repeat


class Watch:
    """Asks for the primaries until its `with` ends.

    `samples` are the answers in their order, each the numbers of hosts.
    """

    def __init__(self, primaries: Callable[[], Sequence[int]], interval: float = 2.0) -> None:
        self.samples: list[tuple[int, ...]] = []
        self._primaries = primaries
        self._over = threading.Event()
        self._thread = threading.Thread(target=repeat, args=(self._ask, interval, self._over))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        self.samples.append(tuple(self._primaries()))


def doubled(samples: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The samples with more than one primary that the next sample confirms.

    The hosts of one sample are asked one after the other, so that a hand-over in its middle can
    look like two; it can't look so twice.
    """
    pairs = itertools.pairwise(samples)
    return [tuple(first) for first, second in pairs if len(set(first) & set(second)) > 1]
