"""Failed logins of universal auth, counted in Redis so that every process sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

    from .store import Document


class Lockouts:
    """A counter and a lock per identity and client id; both end by themselves.

    A further try does not renew a lock. Nothing is counted, and no lock heeded, where lock-outs are
    off.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def is_locked(self, identity_id: str) -> bool:
        return bool(self._keys(f"lockout:locked:{identity_id}:*"))

    def refuses(self, auth: Document) -> bool:
        """Return whether not even the right client secret is taken now."""
        return bool(auth["lockoutEnabled"]) and self.is_locked(auth["identityId"])

    def record_failure(self, auth: Document) -> None:
        """Count a wrong client secret; lock when the threshold is reached."""
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

    def clear(self, identity_id: str) -> int:
        """Remove locks and counters; return how many of them there were."""
        keys = [
            *self._keys(f"lockout:locked:{identity_id}:*"),
            *self._keys(f"lockout:failures:{identity_id}:*"),
        ]
        return self._redis.delete(*keys) if keys else 0

    def _keys(self, pattern: str) -> list[bytes]:
        return list(self._redis.scan_iter(pattern))
