"""A client that continuously writes and reads secrets, at a bounded rate, at all nodes.

Every write has its own name. A write counts as acknowledged once a node has answered it with 200.
Each read asks for an acknowledged secret, and must get its value. A failed request is repeated once
at the next node, as a load balancer or a loader does; a write gets a new name then.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

import httpx

from tests.cluster.ledger import Attempt, Kind, Ledger, Outage, back_after, outages
from tests.cluster.nodes import Balancer, Node, repeat
from tests.cluster.place import Place

_WORKERS = 3
_TRIES = 2


@dataclass(frozen=True)
class Report:
    """The observations of a client; times are in seconds of its own clock."""

    writes: int
    reads: int
    failed_writes: int
    failed_reads: int
    wrong_reads: tuple[str, ...]
    write_outages: tuple[Outage, ...]
    read_outages: tuple[Outage, ...]

    def longest(self) -> float:
        """Return the longest time without a write or without a read."""
        return max((each.seconds for each in (*self.write_outages, *self.read_outages)), default=0)

    def describe_outages(self, moment: float) -> list[str]:
        """Return the outages as lines, in seconds after a moment, in their order."""
        kinds = {"writes": self.write_outages, "reads": self.read_outages}
        found = sorted(
            (each.began, each.ended, kind) for kind, all in kinds.items() for each in all
        )
        return [f"no {kind} from {a - moment:.1f} to {b - moment:.1f} s" for a, b, kind in found]

    def back_after(self, moment: float) -> float:
        """Return how long after a moment the last outage of writes or reads ended."""
        return back_after((*self.write_outages, *self.read_outages), moment)


class Client:
    """A client of these nodes, which runs while the context is open; `now()` is its clock."""

    now = staticmethod(time.monotonic)

    def __init__(
        self, nodes: Sequence[Node], place: Place, *, per_second: float = 5.0, seconds: float = 5.0
    ) -> None:
        self.ledger = Ledger()
        self._place = place
        self._balancer = Balancer(nodes)
        self._interval = _WORKERS / per_second
        self._seconds = seconds
        self._numbers = count(1)
        self._run = f"{random.randrange(16**6):06X}"
        self._wrong: list[str] = []
        self._log_in = threading.Lock()
        self._over = threading.Event()
        self._began = self._ended = 0.0
        self._threads = [
            threading.Thread(target=self._work, args=(action, number), daemon=True)
            for action in (self._write, self._read)
            for number in range(_WORKERS)
        ]

    def __enter__(self) -> "Client":
        self._began = self.now()
        self._balancer.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._ended = self.now()
        self._balancer.stop()

    def wait(self, seconds: float) -> None:
        """Continue for some seconds."""
        self._over.wait(seconds)

    def steady(self, seconds: float, within: float) -> bool:
        """Continue until writes and reads have succeeded without an outage for some seconds.

        Returns False if that does not happen `within` so many seconds.
        """
        begun = self.now()
        while (now := self.now()) < begun + within:
            since = now - seconds
            kinds: tuple[Kind, ...] = ("write", "read")
            if since >= begun and not any(
                outages(self.ledger.successes(kind), since, now) for kind in kinds
            ):
                return True
            self.wait(0.5)
        return False

    def report(self) -> Report:
        """Return the observations so far."""
        ended = self._ended or self.now()
        seen: dict[Kind, list[float]] = {
            "write": self.ledger.successes("write"),
            "read": self.ledger.successes("read"),
        }
        return Report(
            len(seen["write"]),
            len(seen["read"]),
            self.ledger.failures("write"),
            self.ledger.failures("read"),
            tuple(self._wrong),
            tuple(outages(seen["write"], self._began, ended)),
            tuple(outages(seen["read"], self._began, ended)),
        )

    def list_lost(self, node: Node) -> list[str]:
        """Return the acknowledged writes that can't be read at a node."""
        return self.ledger.list_lost(self._place.all(node))

    def _work(self, action: Callable[[Node], bool], number: int) -> None:
        # The workers share the rate, and start at different times.
        self._over.wait(number * self._interval / _WORKERS)

        def once() -> None:
            for _ in range(_TRIES):
                if self._over.is_set() or action(self._balancer.choose()):
                    return

        repeat(once, self._interval, self._over)

    def _write(self, node: Node) -> bool:
        name = f"{self._run}_{next(self._numbers):05}"
        value = f"value-{name}"
        request = partial(self._place.write, node, name, value, self._seconds)
        answer = self._request("write", node, request)
        if answer is not None:
            self.ledger.acknowledge(name, value)
        return answer is not None

    def _read(self, node: Node) -> bool:
        known = self.ledger.any()
        if known is None:
            return True
        name, value = known
        request = partial(self._place.read, node, name, self._seconds)
        answer = self._request("read", node, request)
        if answer is not None and answer.json()["secret"]["secretValue"] != value:
            self._wrong.append(f"{name} at {node.name}")
        return answer is not None

    def _request(
        self, kind: Kind, node: Node, request: Callable[[], httpx.Response]
    ) -> httpx.Response | None:
        began = self.now()
        try:
            answer = request()
        except httpx.HTTPError as error:
            reason = type(error).__name__
            self.ledger.note(Attempt(kind, node.name, began, self.now(), False, reason))
            return None
        ok = answer.status_code == 200
        detail = "" if ok else _reason(answer)
        self.ledger.note(Attempt(kind, node.name, began, self.now(), ok, detail))
        if kind == "read" and answer.status_code == 404:
            self._wrong.append(f"404 at {node.name}")
        if answer.status_code in (401, 403):
            self._renew(node)
        return answer if ok else None

    def _renew(self, node: Node) -> None:
        with self._log_in:
            try:
                self._place.log_in(node)
            except httpx.HTTPError:
                return


def _reason(answer: httpx.Response) -> str:
    """Return the status with the API's error, without the parts that differ each time."""
    try:
        data = answer.json()
    except ValueError:
        return str(answer.status_code)
    return f"{answer.status_code} {data.get('error', '')} {data.get('message', '')}".strip()
