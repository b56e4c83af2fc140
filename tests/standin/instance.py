"""The instance's own settings: one document, which all servers on one Redis remember together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import psycopg

if TYPE_CHECKING:
    from redis import Redis

    from .database import Database
    from .store import Document, Store

INSTANCE_ID = "00000000-0000-0000-0000-000000000000"
KEY = "instance-settings"
REMEMBER_SECONDS = 60


class Instance:
    """Settings are read from Redis, at most a minute old there; what is written is there at once.

    What was read last stands in for both while the database is away.
    """

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._last: Document = {}
        # Each start forgets: the database may be another one's copy by now.
        redis.delete(KEY)

    def settings(self) -> Document:
        """Return the settings, those of the last call while the database is away."""
        known = cast("bytes | None", self._redis.get(KEY))
        if known is not None:
            self._last = json.loads(known)
            return self._last
        try:
            with self._database.transaction() as store:
                self._remember(stored_settings(store))
        except psycopg.Error:
            if not self._last:
                raise
        return self._last

    def change(self, store: Store, **changes: object) -> Document:
        stored_settings(store)
        changed = store.update("super_admin", INSTANCE_ID, **changes)
        self._remember(changed)
        return changed

    def _remember(self, settings: Document) -> None:
        self._last = settings
        self._redis.set(KEY, json.dumps(settings), ex=REMEMBER_SECONDS)


def stored_settings(store: Store) -> Document:
    """Return the settings as the database has them, with their defaults on the first call."""
    existing = store.get("super_admin", INSTANCE_ID)
    if existing is not None:
        return existing
    defaults: Document = {
        "initialized": False,
        "allowSignUp": True,
        "allowedSignUpDomain": None,
        "defaultAuthOrgId": None,
        "enabledLoginMethods": None,
        "authConsentContent": None,
        "pageFrameContent": None,
        "instanceId": str(uuid4()),
        "trustSamlEmails": False,
        "trustLdapEmails": False,
        "trustOidcEmails": False,
        "adminIdentityIds": [],
        "fipsEnabled": False,
    }
    return store.insert("super_admin", defaults, INSTANCE_ID)
