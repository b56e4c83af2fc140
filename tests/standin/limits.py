"""Count requests by class of route and client address, as the vendor's cloud does.

A self-hosted server registers no limiter (`src/server/app.ts`), so the stand-in has one only with
STANDIN_RATE_LIMITS. The limiter of each route is in `rate_limits.json`, read in the source of
v0.165.16; the headers and the body are those of its @fastify/rate-limit 10.3 and of
`src/server/config/rateLimiter.ts`. There each route has its own counter. Here a class has one, as
the vendor describes it: a client that stays below these limits stays below those too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

ROUTES: dict[str, str | None] = json.loads(
    Path(__file__).with_name("rate_limits.json").read_text(encoding="utf-8")
)
# The limiters of the source by the names in STANDIN_RATE_LIMITS.
NAMES = {
    "reads": "readLimit",
    "writes": "writeLimit",
    "secrets": "secretsLimit",
    "identities": "identityCreationLimit",
    "projects": "projectCreationLimit",
    "logins": "authRateLimit",
    "mails": "smtpRateLimit",
}


def parse(text: str) -> dict[str, int]:
    """Return limits by limiter, from a text such as `reads=60,secrets=40`; raise ValueError."""
    pairs = [each.partition("=") for each in text.split(",") if each]
    if unknown := [name for name, _, _ in pairs if name not in NAMES]:
        raise ValueError(f"STANDIN_RATE_LIMITS knows no {unknown[0]}")
    return {NAMES[name]: int(number) for name, _, number in pairs}


class RateLimits:
    """The counters, in Redis for all processes: a window begins with its first request."""

    def __init__(self, redis: Redis, limits: Mapping[str, int], seconds: float) -> None:
        self._redis = redis
        self._limits = limits
        self._milliseconds = int(seconds * 1000)

    def count(self, method: str, path: str, address: str, headers: dict[str, str]) -> None:
        """Count a request, and add headers of its answer; raise a 429 answer above the limit."""
        usual = "readLimit" if method == "GET" else "writeLimit"
        limiter = ROUTES.get(f"{method} {path}", usual)
        limit = self._limits.get(limiter) if limiter else None
        if limit is None:
            return
        key = f"rate-limit:{limiter}:{address}"
        number = int(self._redis.incr(key))
        if number == 1:
            self._redis.pexpire(key, self._milliseconds)
        left = math.ceil(max(int(self._redis.pttl(key)), 0) / 1000)
        headers["x-ratelimit-limit"] = str(limit)
        headers["x-ratelimit-remaining"] = str(max(0, limit - number))
        headers["x-ratelimit-reset"] = str(left)
        if number > limit:
            headers["retry-after"] = str(left)
            message = f"Rate limit exceeded. Please try again in {left} seconds"
            raise ApiError(429, message, "RateLimitExceeded")
