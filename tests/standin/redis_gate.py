"""Every request goes past Redis first; while Redis is away, requests hang."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import redis.asyncio
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Receive, Scope, Send

LONGEST_HANG_SECONDS = 3600.0
RETRY_SECONDS = 0.2
REPLY_SECONDS = 1.0

log = logging.getLogger("standin")


class RedisGate:
    """ASGI middleware that lets an HTTP request through once Redis has answered a ping."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=REPLY_SECONDS, socket_connect_timeout=REPLY_SECONDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await wait_for(self._redis)
        await self._app(scope, receive, send)


async def wait_for(client: redis.asyncio.Redis) -> None:
    """Return as soon as Redis answers; raise TimeoutError after an hour without."""
    end = time.monotonic() + LONGEST_HANG_SECONDS
    while time.monotonic() < end:
        try:
            pong: Awaitable[bool] = client.ping()
            await pong
            return
        except (RedisError, OSError):
            await asyncio.sleep(RETRY_SECONDS)
    raise TimeoutError("Redis did not answer for an hour")


def wait_at_start(url: str) -> None:
    """Block until Redis answers, saying ECONNREFUSED meanwhile; the port stays shut."""
    client = redis.Redis.from_url(url, socket_connect_timeout=REPLY_SECONDS)
    end = time.monotonic() + LONGEST_HANG_SECONDS
    while time.monotonic() < end:
        try:
            client.ping()
            return
        except (RedisError, OSError):
            log.error("Redis: connect ECONNREFUSED")
            time.sleep(1)
    raise TimeoutError("Redis did not answer for an hour")
