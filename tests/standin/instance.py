"""The instance's own settings: one document, remembered so that it outlives the database."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg

if TYPE_CHECKING:
    from .database import Database
    from .store import Document, Store

INSTANCE_ID = "00000000-0000-0000-0000-000000000000"
REMEMBER_SECONDS = 60.0


class Instance:
    """Reads go to memory, at most a minute old; writes go to the database and refresh it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._settings: Document = {}

    def settings(self) -> Document:
        """Return the settings, the remembered ones while the database is away."""
        with self._lock:
            if not self._settings or time.monotonic() - self._read_at > REMEMBER_SECONDS:
                try:
                    with self._database.transaction() as store:
                        self._remember(stored_settings(store))
                except psycopg.Error:
                    if not self._settings:
                        raise
            return self._settings

    def change(self, store: Store, **changes: object) -> Document:
        stored_settings(store)
        changed = store.update("super_admin", INSTANCE_ID, **changes)
        with self._lock:
            self._remember(changed)
        return changed

    def _remember(self, settings: Document) -> None:
        self._settings = settings
        self._read_at = time.monotonic()


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
