"""The nodes of a client, chosen like a load balancer does."""

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import httpx


@dataclass(frozen=True)
class Node:
    """A node that serves the API.

    `url` is its address, `host` its host name, if that differs; `trust` is the certificate to
    verify it with.
    """

    name: str
    url: str
    host: str = ""
    trust: Path | None = None

    @cached_property
    def _client(self) -> httpx.Client:
        verify = ssl.create_default_context(cafile=str(self.trust)) if self.trust else True
        headers = {"Host": self.host} if self.host else {}
        return httpx.Client(base_url=self.url, headers=headers, verify=verify)

    def ask(self, method: str, path: str, seconds: float, **options: Any) -> httpx.Response:
        """Return the answer to a request. Raises httpx.HTTPError after `seconds` in a phase."""
        extensions = {"sni_hostname": self.host} if self.host else {}
        return self._client.request(method, path, timeout=seconds, extensions=extensions, **options)


class Balancer:
    """Choose in turn among the nodes whose `/api/status` answered 200 at the last check.

    If no node is healthy, all are tried.
    """

    def __init__(self, nodes: Sequence[Node], interval: float = 1.0, seconds: float = 3.0) -> None:
        self._nodes = tuple(nodes)
        self._well = {node.name: True for node in nodes}
        self._interval = interval
        self._seconds = seconds
        self._turns = count()
        self._over = threading.Event()
        self._checks = [
            threading.Thread(target=self._watch, args=(node,), daemon=True) for node in nodes
        ]

    def start(self) -> None:
        """Start the health checks."""
        for check in self._checks:
            check.start()

    def stop(self) -> None:
        """Stop the health checks."""
        self._over.set()
        for check in self._checks:
            check.join()

    @property
    def healthy(self) -> list[Node]:
        """Return the nodes that were healthy at the last check."""
        return [node for node in self._nodes if self._well[node.name]]

    def choose(self) -> Node:
        """Return the next node."""
        nodes = self.healthy or self._nodes
        return nodes[next(self._turns) % len(nodes)]

    def _watch(self, node: Node) -> None:
        repeat(lambda: self._check(node), self._interval, self._over)

    def _check(self, node: Node) -> None:
        try:
            answer = node.ask("GET", "/api/status", self._seconds)
        except httpx.HTTPError:
            self._well[node.name] = False
        else:
            self._well[node.name] = answer.status_code == 200


def repeat(action: Callable[[], None], interval: float, over: threading.Event) -> None:
    """Call a function every `interval` seconds, or at once after a longer call."""
    while not over.is_set():
        begun = time.monotonic()
        action()
        over.wait(max(0.0, begun + interval - time.monotonic()))
