"""Clients of Redis, at a URL or of the master that the sentinels name.

As in the real server, a command waits for its reply without a timeout. The kernel breaks a
connection whose other end vanished silently (`net.ipv4.tcp_retries2`), and the next connection
goes to the current master.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ConnectionError, ReadOnlyError, TimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

if TYPE_CHECKING:
    from .config import RedisSettings

CONNECT = {"socket_connect_timeout": 10.0}
RETRY_SECONDS = 0.2
FOREVER = -1


def patient_client(settings: RedisSettings) -> redis.Redis:
    """Return a client for threads that sends a command again until Redis answers."""
    return client(settings, Retry(ConstantBackoff(RETRY_SECONDS), FOREVER))


def client(settings: RedisSettings, retry: Retry | None = None) -> redis.Redis:
    """Return a client for threads; without `retry`, a failure raises RedisError at once."""
    once = Retry(NoBackoff(), 0)
    options: dict[str, Any] = {**CONNECT, "retry": retry or once}
    if settings.url:
        # A failed command is sent again: HAProxy then connects the same address to the new master.
        again = {"retry_on_error": [ConnectionError, TimeoutError, ReadOnlyError]} if retry else {}
        return redis.Redis.from_url(settings.url, **_verifying(settings), **again, **options)
    asked = {**_of_sentinels(settings), "retry": once}
    sentinel: Any = Sentinel(settings.sentinels, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    master: redis.Redis = sentinel.master_for(settings.master, **_of_master(settings), **options)
    return master


def async_client(settings: RedisSettings) -> redis.asyncio.Redis:
    """Return a client for coroutines; a failure raises RedisError at once."""
    once = AsyncRetry(NoBackoff(), 0)
    options: dict[str, Any] = {**CONNECT, "retry": once}
    if settings.url:
        return redis.asyncio.Redis.from_url(settings.url, **_verifying(settings), **options)
    asked = {**_of_sentinels(settings), "retry": once}
    sentinel: Any = AsyncSentinel(settings.sentinels, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    master: redis.asyncio.Redis = sentinel.master_for(
        settings.master, **_of_master(settings), **options
    )
    return master


def _verifying(settings: RedisSettings) -> dict[str, Any]:
    if not settings.url.startswith("rediss:"):
        return {}
    own = {"ssl_ca_certs": settings.ca} if settings.ca else {}
    return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **own}


def _of_master(settings: RedisSettings) -> dict[str, Any]:
    return {"username": settings.username or None, "password": settings.password or None}


def _of_sentinels(settings: RedisSettings) -> dict[str, Any]:
    return {
        **CONNECT,
        "username": settings.sentinel_username or None,
        "password": settings.sentinel_password or None,
    }
