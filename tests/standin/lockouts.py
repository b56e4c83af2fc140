"""Count failed logins, and remember used codes, in Redis for all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

    from .store import Document


class Lockouts:
    """A counter and a lock of each identity and client id, which both expire.

    A further attempt does not prolong a lock. With lock-outs turned off nothing is counted, and a
    lock has no effect.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def is_locked(self, identity_id: str) -> bool:
        return bool(self._keys(f"lockout:locked:{identity_id}:*"))

    def refuses(self, auth: Document) -> bool:
        """Return whether even the right client secret is refused now."""
        return bool(auth["lockoutEnabled"]) and self.is_locked(auth["identityId"])

    def record_failure(self, auth: Document) -> None:
        """Count a wrong client secret, and lock at the threshold."""
        if not auth["lockoutEnabled"]:
            return
        name = f"{auth['identityId']}:{auth['clientId']}"
        counter = f"lockout:failures:{name}"
        failures = self._redis.incr(counter)
        self._redis.expire(counter, auth["lockoutCounterResetSeconds"])
        if failures >= auth["lockoutThreshold"]:
            self._redis.set(f"lockout:locked:{name}", 1, ex=auth["lockoutDurationSeconds"])
            self._redis.delete(counter)

    def forget_failures(self, auth: Document) -> None:
        for kind in ("failures", "locked"):
            self._redis.delete(f"lockout:{kind}:{auth['identityId']}:{auth['clientId']}")

    def claim_code(self, user_id: str, code: str) -> bool:
        """Return whether a person's code of an app was not used before, and remember it."""
        return bool(self._redis.set(f"used-totp:{user_id}:{code}", 1, nx=True, ex=90))

    def clear(self, identity_id: str) -> int:
        """Remove locks and counters, and return how many there were."""
        keys = [
            *self._keys(f"lockout:locked:{identity_id}:*"),
            *self._keys(f"lockout:failures:{identity_id}:*"),
        ]
        return self._redis.delete(*keys) if keys else 0

    def _keys(self, pattern: str) -> list[bytes]:
        return list(self._redis.scan_iter(pattern))
