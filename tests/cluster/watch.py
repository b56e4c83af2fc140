"""Watch for two primaries, by querying each host every two seconds.

A PostgreSQL that is a primary stays one until its postmaster ends. So it was a primary all the time
between two answers of one postmaster. Two hosts with overlapping times were primaries at once.
Answers that only come at the same time prove nothing, because a hand-over may be between them. A
primary with fewer than two answers is not detected: it lasted less than about four seconds.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.cluster.nodes import repeat

INTERVAL = 2.0
# A query may take longer than an interval, and a booting host answers none for some seconds.
_LEAST_ANSWERED = 1 / 3
_MOST_SILENT_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """The answer of a host to a query from `began` to `ended`.

    `postmaster` identifies the run of a primary; empty without one.
    """

    host: int
    began: float
    ended: float
    postmaster: str = ""


@dataclass(frozen=True)
class Reign:
    """A time in which a host's PostgreSQL was certainly a primary."""

    host: int
    began: float
    ended: float


class Watch:
    """Query each host separately while the context is open.

    `ask` gets a host's number and returns the postmaster of its primary, or an empty text if the
    host surely has none. Without an answer it returns None or raises. It must end by itself.
    """

    def __init__(
        self,
        ask: Callable[[int], str | None],
        hosts: Sequence[int],
        interval: float = INTERVAL,
    ) -> None:
        self.answers: list[Answer] = []
        self._ask = ask
        self._hosts = tuple(hosts)
        self._interval = interval
        self._why: dict[int, str] = {}
        self._began = self._ended = 0.0
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(host,), daemon=True) for host in hosts
        ]

    def __enter__(self) -> "Watch":
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._ended = time.monotonic()

    def blind(self) -> list[str]:
        """Return the hosts that answered too seldom, with their last errors."""
        found = blind(self.answers, self._hosts, self._began, self._ended, self._interval)
        return found and [*found, *(f"host {host}: {why}" for host, why in self._why.items())]

    def _watch(self, host: int) -> None:
        repeat(partial(self._once, host), self._interval, self._over)

    def _once(self, host: int) -> None:
        began = time.monotonic()
        try:
            output = self._ask(host)
        except Exception as error:
            # The next query may be answered, so no error ends the watch.
            self._why[host] = f"{type(error).__name__}: {error}"
            return
        if output is not None:
            self.answers.append(Answer(host, began, time.monotonic(), output))


def reigns(answers: Sequence[Answer]) -> list[Reign]:
    """Return the times between the first and the last answer of each primary."""
    of: dict[tuple[int, str], list[Answer]] = {}
    for each in answers:
        if each.postmaster:
            of.setdefault((each.host, each.postmaster), []).append(each)
    found = [
        Reign(host, min(each.ended for each in all), max(each.began for each in all))
        for (host, _), all in of.items()
    ]
    return [each for each in found if each.began < each.ended]


def find_overlaps(answers: Sequence[Answer]) -> list[str]:
    """Return which hosts had primaries at the same time, and for how long at least."""
    found = []
    for one, other in itertools.combinations(reigns(answers), 2):
        together = min(one.ended, other.ended) - max(one.began, other.began)
        if one.host != other.host and together > 0:
            found.append(f"hosts {one.host} and {other.host} for {together:.1f} s")
    return found


def blind(
    answers: Sequence[Answer],
    hosts: Sequence[int],
    began: float,
    ended: float,
    interval: float = INTERVAL,
) -> list[str]:
    """Return the hosts with too few answers to exclude two primaries.

    These are hosts that answered fewer than a third of the possible queries, or none for more than
    half a minute.
    """
    found = []
    for host in hosts:
        moments = [began, *(each.ended for each in answers if each.host == host), ended]
        number = len(moments) - 2
        silent = max(later - earlier for earlier, later in itertools.pairwise(sorted(moments)))
        few = number < (ended - began) / interval * _LEAST_ANSWERED
        if few or silent > _MOST_SILENT_SECONDS:
            found.append(
                f"host {host} answered {number} times in {ended - began:.0f} s, "
                f"and not once for {silent:.0f} s"
            )
    return found
