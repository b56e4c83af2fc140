"""Let each request of the API wait for Redis, so that it hangs while Redis is unreachable."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from .redis_client import RETRY_SECONDS, async_client, client

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import redis.asyncio
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .config import RedisSettings

LONGEST_HANG_SECONDS = 3600.0
LONGEST_START_SECONDS = 40.0

log = logging.getLogger("standin")


class RedisGate:
    """ASGI middleware that passes a request of the API on once Redis has answered a ping.

    All requests share one connection, as in the real server, whose pages need no Redis.
    """

    def __init__(self, app: ASGIApp, settings: RedisSettings) -> None:
        self._app = app
        self._redis = async_client(settings)
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            async with self._turn:
                await wait_for(self._redis)
        await self._app(scope, receive, send)


async def wait_for(client: redis.asyncio.Redis) -> None:
    """Return as soon as Redis answers; raise TimeoutError after an hour."""
    end = time.monotonic() + LONGEST_HANG_SECONDS
    while time.monotonic() < end:
        try:
            pong: Awaitable[bool] = client.ping()
            await pong
            return
        except (RedisError, OSError):
            await asyncio.sleep(RETRY_SECONDS)
    raise TimeoutError("Redis did not answer for an hour")


def wait_at_start(settings: RedisSettings) -> None:
    """Block until Redis answers, and log ECONNREFUSED meanwhile; the port stays closed.

    Raises TimeoutError after the time in which the real server must have loaded its routes.
    """
    redis = client(settings)
    end = time.monotonic() + LONGEST_START_SECONDS
    while time.monotonic() < end:
        try:
            redis.ping()
            return
        except (RedisError, OSError):
            log.error("Redis: connect ECONNREFUSED")
            time.sleep(1)
    raise TimeoutError("Plugin did not start in time: 'registerRoutes'")
