"""Note what a client of the fault tests saw: which writes were acknowledged, and when none was."""

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
    """A time without a success: from the last one before it to the first one after it."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Ledger:
    """The attempts in the order in which they ended, and the values that must be there."""

    attempts: list[Attempt] = field(default_factory=list)
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, attempt: Attempt) -> None:
        """Keep an attempt."""
        with self._lock:
            self.attempts.append(attempt)

    def acknowledge(self, name: str, value: str) -> None:
        """Keep what a server said that it has stored."""
        with self._lock:
            self.acknowledged.append((name, value))

    def any(self) -> tuple[str, str] | None:
        """The name and the value of some acknowledged write, if there is one."""
        with self._lock:
            return random.choice(self.acknowledged) if self.acknowledged else None

    def successes(self, kind: Kind) -> list[float]:
        """When the successful attempts of a kind ended."""
        with self._lock:
            return sorted(each.ended for each in self.attempts if each.kind == kind and each.ok)

    def failures(self, kind: Kind) -> int:
        """Return how many attempts of a kind failed."""
        with self._lock:
            return sum(each.kind == kind and not each.ok for each in self.attempts)

    def reasons(self) -> list[tuple[str, int]]:
        """Return why attempts failed, with the node and how often, the most frequent first."""
        with self._lock:
            failed = [each for each in self.attempts if not each.ok]
        return Counter(f"{each.node}: {each.kind}: {each.detail}" for each in failed).most_common()

    def lost(self, found: dict[str, str]) -> list[str]:
        """The names of acknowledged writes that aren't, or are other, in what was found."""
        with self._lock:
            return sorted(name for name, value in self.acknowledged if found.get(name) != value)


def outages(
    successes: Sequence[float], began: float, ended: float, at_least: float = 2.0
) -> list[Outage]:
    """The times without a success, within a time of observation.

    Args:
        successes: when requests succeeded, in order.
        began: when the observation began.
        ended: when it ended; without a success since, the last outage ends with it.
        at_least: how long, in seconds, a time without success is an outage.
    """
    moments = [began, *(each for each in successes if began <= each <= ended), ended]
    pairs = itertools.pairwise(moments)
    return [Outage(*pair) for pair in pairs if pair[1] - pair[0] >= at_least]


def back_after(found: Sequence[Outage], moment: float) -> float:
    """Return how many seconds after a moment the last outage was over; 0 if there was none
    since.
    """
    return max((each.ended - moment for each in found if each.ended > moment), default=0.0)
