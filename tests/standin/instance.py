"""The settings of the instance: one document, which all servers cache in one Redis."""

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
    """Read settings from Redis, at most a minute old; changes take effect at once."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        # Each start clears the cache, since the database may have been replaced by a copy.
        redis.delete(KEY)

    def settings(self) -> Document:
        """Return the settings. Raises psycopg.Error if they are only in an unreachable database."""
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
    """Return the settings in the database; store the defaults on the first call."""
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
