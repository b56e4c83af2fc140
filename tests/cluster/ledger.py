"""Record a client's acknowledged writes, and the times without success."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

Kind = Literal["write", "read"]


@dataclass(frozen=True)
class Attempt:
    """One request at one node; times are in seconds of one clock."""

    kind: Kind
    node: str
    began: float
    ended: float
    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class Outage:
    """A time without a success, from the last success before it to the first one after it."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Ledger:
    """The attempts in the order of their ends, and the values that must be stored."""

    attempts: list[Attempt] = field(default_factory=list)
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, attempt: Attempt) -> None:
        """Record an attempt."""
        with self._lock:
            self.attempts.append(attempt)

    def acknowledge(self, name: str, value: str) -> None:
        """Record an acknowledged write."""
        with self._lock:
            self.acknowledged.append((name, value))

    def any(self) -> tuple[str, str] | None:
        """Return name and value of any acknowledged write, if there is one."""
        with self._lock:
            return random.choice(self.acknowledged) if self.acknowledged else None

    def successes(self, kind: Kind) -> list[float]:
        """Return the times at which the successful attempts of a kind ended."""
        with self._lock:
            return sorted(each.ended for each in self.attempts if each.kind == kind and each.ok)

    def failures(self, kind: Kind) -> int:
        """Return how many attempts of a kind failed."""
        with self._lock:
            return sum(each.kind == kind and not each.ok for each in self.attempts)

    def reasons(self) -> list[tuple[str, int]]:
        """Return the reasons of failures, with node and number, the most frequent first."""
        with self._lock:
            failed = [each for each in self.attempts if not each.ok]
        return Counter(f"{each.node}: {each.kind}: {each.detail}" for each in failed).most_common()

    def list_lost(self, found: dict[str, str]) -> list[str]:
        """Return the names of acknowledged writes that are missing or differ in `found`."""
        with self._lock:
            return sorted(name for name, value in self.acknowledged if found.get(name) != value)


def outages(
    successes: Sequence[float], began: float, ended: float, at_least: float = 2.0
) -> list[Outage]:
    """Return the times without a success, within a time of observation.

    Args:
        successes: when requests succeeded, in order.
        began: when the observation began.
        ended: when it ended; without a success since, the last outage ends with it.
        at_least: the shortest time without success that is an outage, in seconds.
    """
    moments = [began, *(each for each in successes if began <= each <= ended), ended]
    pairs = itertools.pairwise(moments)
    return [Outage(*pair) for pair in pairs if pair[1] - pair[0] >= at_least]


def back_after(found: Sequence[Outage], moment: float) -> float:
    """Return the seconds from a moment to the end of the last outage; 0 without an outage."""
    return max((each.ended - moment for each in found if each.ended > moment), default=0.0)
