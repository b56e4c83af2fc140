"""Keep requests below the rate limits of an Infisical.

The server limits requests a minute, by client address and by class of route. Its counters are fixed
windows: they begin with a request and end a minute later, when it counts from zero. Here a request
counts while it is in flight and for a minute after its answer, so that no window of the server can
count more. No library fits: pyrate-limiter 4.5 counts the beginnings of requests at rates that
never change, and aiolimiter 1.3 is for asyncio.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from threading import Lock

from infisical_iac.agent.answers import parse_seconds
from infisical_iac.core.wording import pluralize


@dataclass(frozen=True)
class RateClass:
    """Routes that have one limit.

    Attributes:
        words: the requests, in the plural.
        fixed: the limit a minute, if no license changes it; else 0.
    """

    name: str
    words: str
    fixed: int = 0


READS = RateClass("reads", "reads")
WRITES = RateClass("writes", "writes")
SECRETS = RateClass("secrets", "calls of the secrets endpoints")
_IDENTITIES = RateClass("identities", "new identities", 30)
_PROJECTS = RateClass("projects", "new projects", 30)
_LOGINS = RateClass("logins", "logins of people", 60)
_MAILS = RateClass("mails", "invitations", 2)
_CLASSES = (READS, WRITES, SECRETS, _IDENTITIES, _PROJECTS, _LOGINS, _MAILS)

# The first row that fits a request has its class; None is free of limits. Read in the source of
# v0.165.16: the `rateLimit` of each route in backend/src/server/routes and backend/src/ee/routes,
# the limits in server/config/rateLimiter.ts and ee/services/rate-limit/rate-limit-service.ts.
# In that source each route has its own counter. The vendor documents one for each class, which
# allows fewer requests.
_ROUTES: tuple[tuple[str, str, RateClass | None], ...] = (
    ("GET", "/api/status", None),
    (".*", "/api/v[34]/secrets(/.*)?", SECRETS),
    ("POST|PATCH|DELETE", "/api/v2/(folders|secret-imports)(/.*)?", SECRETS),
    ("POST", "/api/v1/identities", _IDENTITIES),
    ("POST", "/api/v1/projects", _PROJECTS),
    ("POST", "/api/v3/auth/.*|/api/v1/auth/logout", _LOGINS),
    ("POST", "/api/v1/invite-org/signup(-resend)?", _MAILS),
    ("GET", ".*", READS),
    (".*", ".*", WRITES),
)


def classify(method: str, path: str) -> RateClass | None:
    """Return the class that the server counts a request in; None if it does not count it."""
    path = path.partition("?")[0]
    for methods, paths, kind in _ROUTES:
        if re.fullmatch(methods, method) and re.fullmatch(paths, path):
            return kind
    raise AssertionError("the last row fits every request")


# The seconds in which a limit counts: a bit more than the server's, as clocks differ.
_WINDOW = 60.5
# A refusal for longer than this is none of these rate limits, and no request waits for its end.
_LONGEST_HOLD = 120.0
_REFUSED = 429
# The seconds between the checks of a request that waits for the answer to another one.
_POLL = 0.02
_SHORTEST_SLEEP = 0.005
# Shorter waits are not worth a sentence.
_SHORT = 30.0


@dataclass
class _Budget:
    """The requests of a class.

    Attributes:
        limit: None if it is unknown.
        ended: when the last answers ended, with a time for each request of another program that
            the server counted.
        held_until: when the server takes requests again.
        is_known: whether an answer has shown what the server counted before.
        sent: the number of requests so far.
        due: the expected value of `sent` at the end of the run, as announced.
        reported: when a wait was reported last.
    """

    kind: RateClass
    limit: int | None
    ended: list[float] = field(default_factory=list)
    in_flight: int = 0
    held_until: float = 0.0
    is_known: bool = False
    sent: int = 0
    due: int = 0
    reported: float | None = None

    @property
    def most(self) -> float:
        """Return the number of requests to send in a window.

        One is kept back for the next command: its first answer then shows that no more are left.
        """
        return inf if self.limit is None else max(1, self.limit - 1)


class RateLimiter:
    """The limits of one Infisical, for all its clients and threads in this process.

    Without limits, one is taken from the first answer 429 that names it.

    Args:
        limits: the limits a minute by class: reads, writes, secrets. Classes with a fixed limit
            have theirs then. Empty: no limits.
        window: the seconds in which a limit counts; None for a minute.
        note: prints a sentence for the user; None prints nothing.
    """

    def __init__(
        self,
        limits: Mapping[str, int] | None = None,
        *,
        window: float | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        limits = limits or {}
        fixed = {each.name: each.fixed for each in _CLASSES if each.fixed and limits}
        known = {**fixed, **limits}
        self._budgets = {each: _Budget(each, known.get(each.name)) for each in _CLASSES}
        self._window = _WINDOW if window is None else window
        # Looked up here, as pyinfra's command line replaces the functions of `time`.
        self._clock, self._sleep = clock or time.monotonic, sleep or time.sleep
        self._note = note or (lambda _: None)
        self._announced: set[str] = set()
        self._lock = Lock()

    def count_sent(self) -> Counter[RateClass]:
        """Return the number of requests sent so far."""
        with self._lock:
            return Counter({each.kind: each.sent for each in self._budgets.values()})

    def has_limit(self, method: str, path: str) -> bool:
        """Return whether a request may have to wait."""
        kind = classify(method, path)
        return kind is not None and self._budgets[kind].limit is not None

    @contextmanager
    def turn(self, method: str, path: str) -> Iterator["Turn"]:
        """Wait until a request may be sent; it is sent, and its answer read, in the context."""
        kind = classify(method, path)
        if kind is None:
            yield Turn(self, None)
            return
        budget = self._budgets[kind]
        self._wait(budget)
        try:
            yield Turn(self, budget)
        finally:
            with self._lock:
                budget.in_flight -= 1
                if budget.limit is not None:
                    budget.ended.append(self._clock())

    def announce(self, due: Mapping[RateClass, int], what: str = "this") -> None:
        """Print how long the due requests take, if the limits make that long.

        A sentence is printed once.

        Args:
            what: the subject of the sentence.
        """
        sentence = self.describe(due, what)
        if sentence and sentence not in self._announced:
            self._announced.add(sentence)
            self._note(sentence)
        self.expect(due)

    def expect(self, due: Mapping[RateClass, int]) -> None:
        """Remember how many requests are due, for the sentences on the progress of a run."""
        with self._lock:
            for kind, number in due.items():
                budget = self._budgets[kind]
                budget.due = max(budget.due, budget.sent + number)

    def describe(self, due: Mapping[RateClass, int], what: str) -> str:
        """Return a sentence on how long requests take; empty if the limits don't make it long.

        It names the class that takes longest. Runs mostly send one class after the other.

        Args:
            what: the subject of the sentence.
        """
        with self._lock:
            waits = {kind: self._duration(self._budgets[kind], due[kind]) for kind in due}
            longest = max(waits, key=lambda kind: waits[kind], default=READS)
            limit = self._budgets[longest].limit
        seconds = sum(waits.values())
        if seconds <= _SHORT:
            return ""
        minutes = pluralize(max(1, round(seconds / 60)), "minute")
        return f"At {limit} {longest.words} a minute {what} takes about {minutes}"

    def _duration(self, budget: _Budget, number: int) -> float:
        if budget.limit is None or not number:
            return 0.0
        self._forget_old(budget)
        taken = len(budget.ended) + budget.in_flight
        return (taken + number - 1) // budget.most * self._window

    def _wait(self, budget: _Budget) -> None:
        while True:
            with self._lock:
                delay = self._delay(budget)
                if delay <= 0:
                    budget.in_flight += 1
                    budget.sent += 1
                    return
                sentence = self._describe_wait(budget, delay)
            if sentence:
                self._note(sentence)
            self._sleep(max(delay, _SHORTEST_SLEEP))

    def _delay(self, budget: _Budget) -> float:
        """Return the seconds until a request may be sent."""
        if budget.limit is None:
            return 0.0
        now = self._clock()
        if now < budget.held_until:
            return budget.held_until - now
        if budget.in_flight and not budget.is_known:
            return _POLL  # The first answer shows what other programs have sent in this minute.
        self._forget_old(budget)
        if budget.in_flight + len(budget.ended) < budget.most:
            return 0.0
        return min(budget.ended) + self._window - now if budget.ended else _POLL

    def _forget_old(self, budget: _Budget) -> None:
        start = self._clock() - self._window
        budget.ended = [each for each in budget.ended if each > start]

    def _describe_wait(self, budget: _Budget, delay: float) -> str:
        """Return a sentence on a long wait, at most one in a window."""
        now = self._clock()
        reported = budget.reported
        if delay < _SHORT or (reported is not None and now - reported < self._window / 2):
            return ""
        budget.reported = now
        of = f" of about {budget.due}" if budget.due > budget.sent else ""
        return f"{budget.sent}{of} {budget.kind.words} sent; the next ones wait {delay:.0f} s"

    def _read(self, budget: _Budget, status: int, headers: Mapping[str, str]) -> bool:
        sentence, is_held = "", False
        with self._lock:
            limit = _number(headers.get("x-ratelimit-limit", ""))
            if status == _REFUSED:
                sentence = self._learn(budget, limit)
                wait = parse_seconds(headers.get("Retry-After", ""), inf)
                if budget.limit is not None and wait is not None and wait <= _LONGEST_HOLD:
                    is_held = True
                    budget.held_until = max(budget.held_until, self._clock() + wait)
            elif budget.limit is not None:
                self._count_others(budget, headers)
            budget.is_known = True
        if sentence:
            self._note(sentence)
        return is_held

    def _learn(self, budget: _Budget, limit: int | None) -> str:
        """Take the limit that a refused request names; return a sentence if it is news."""
        if not limit or (budget.limit is not None and budget.limit <= limit):
            return ""
        budget.limit = limit
        sentence = (
            f"Infisical takes at most {limit} {budget.kind.words} a minute: from now on this run "
            "keeps to that"
        )
        minutes = round(self._duration(budget, budget.due - budget.sent + 1) / 60)
        left = f", and takes about {pluralize(minutes, 'more minute')}" if minutes > 0 else ""
        return sentence + left if budget.due > budget.sent else sentence

    def _count_others(self, budget: _Budget, headers: Mapping[str, str]) -> None:
        """Count requests of other programs, which the server counts for this address too."""
        left = _number(headers.get("x-ratelimit-remaining", ""))
        reset = parse_seconds(headers.get("x-ratelimit-reset", ""), self._window)
        if left is None or reset is None or budget.limit is None:
            return
        self._forget_old(budget)
        # Each request of this program that the server has counted is in `ended` or in flight.
        others = budget.limit - len(budget.ended) - budget.in_flight - left
        budget.ended += [self._clock() + reset - self._window] * others


class Turn:
    """The right to send one request."""

    def __init__(self, limiter: RateLimiter, budget: _Budget | None) -> None:
        self._limiter, self._budget = limiter, budget

    def read(self, status: int, headers: Mapping[str, str]) -> bool:
        """Read the limit in an answer.

        Returns whether the server refused the request for now. The next turn then waits as long as
        the server demands.
        """
        return self._budget is not None and self._limiter._read(self._budget, status, headers)


def _number(header: str) -> int | None:
    return int(header) if re.fullmatch(r"\d{1,9}", header) else None
