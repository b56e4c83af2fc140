"""Run the tests' own servers in a thread of this process.

Each of these servers is one file, which also runs by itself on a staging host; this module is for
tests only, so that none of them needs it there.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from http.server import HTTPServer
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


class _Server(Protocol):
    """A server whose `listen` sets its `port`, and returns what accepts the connections."""

    def listen(self) -> HTTPServer | Coroutine[Any, Any, asyncio.Server]: ...


S = TypeVar("S", bound=_Server)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Serve while the context is open; the server's `port` is then set."""
    listening = server.listen()
    if isinstance(listening, HTTPServer):
        with listening, _running(lambda: listening.serve_forever(0.02), listening.shutdown):
            yield server
        return
    loop = asyncio.new_event_loop()
    accepting = loop.run_until_complete(listening)
    try:
        with _running(loop.run_forever, lambda: loop.call_soon_threadsafe(loop.stop)):
            yield server
    finally:
        accepting.close()
        loop.run_until_complete(_cancel_connections())
        loop.close()


@contextmanager
def _running(run: Callable[[], None], stop: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(timeout=10)


async def _cancel_connections() -> None:
    tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
