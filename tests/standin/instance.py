"""The instance's own settings: one document, which all servers on one Redis remember together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast
from uuid import uuid4

if TYPE_CHECKING:
    from redis import Redis

    from .database import Database
    from .store import Document, Store

INSTANCE_ID = "00000000-0000-0000-0000-000000000000"
KEY = "instance-settings"
REMEMBER_SECONDS = 60


class Instance:
    """Settings are read from Redis, a minute old at most; what is written is there at once."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        # Each start forgets: the database may be another one's copy by now.
        redis.delete(KEY)

    def settings(self) -> Document:
        """Return the settings. Raises psycopg.Error where only a database has them that is away."""
        known = cast("bytes | None", self._redis.get(KEY))
        if known is not None:
            settings: Document = json.loads(known)
            return settings
        with self._database.transaction() as store:
            return self._remember(stored_settings(store))

    def change(self, store: Store, **changes: object) -> Document:
        stored_settings(store)
        changed = store.update("super_admin", INSTANCE_ID, **changes)
        self._remember(changed)
        return changed

    def _remember(self, settings: Document) -> Document:
        self._redis.set(KEY, json.dumps(settings), ex=REMEMBER_SECONDS)
        return settings


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
