"""Connections to PostgreSQL, which recover after an outage."""

from __future__ import annotations

import base64
import time
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from tempfile import NamedTemporaryFile
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg.rows import dict_row

from .store import Document, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CONNECTIONS = 20
CONNECT_TIMEOUT_SECONDS = 2
# A connection that was in use so recently is not tested.
FRESH_SECONDS = 0.05


class Database:
    """A small pool. Idle connections are tested before use, so it recovers from a restart."""

    def __init__(self, uri: str, root_cert: str = "") -> None:
        """Take its authority's certificate in base64 as `root_cert`, like DB_ROOT_CERT."""
        self._uri = uri
        self._options: dict[str, Any] = _verifying(uri, root_cert) if root_cert else {}
        self._idle: LifoQueue[tuple[psycopg.Connection[Document], float]] = LifoQueue()
        self._slots = BoundedSemaphore(MOST_CONNECTIONS)

    @contextmanager
    def transaction(self) -> Iterator[Store]:
        """Yield a store; commit at the end, roll back on an exception.

        Raises psycopg.OperationalError while the server cannot be reached.
        """
        with self._slots:
            connection = self._take()
            try:
                with connection.transaction():
                    yield Store(connection)
            finally:
                if not connection.closed:
                    self._idle.put((connection, time.monotonic()))

    def _take(self) -> psycopg.Connection[Document]:
        with suppress(Empty):
            while True:
                connection, since = self._idle.get_nowait()
                try:
                    if time.monotonic() - since > FRESH_SECONDS:
                        connection.execute("SELECT 1")
                except psycopg.Error:
                    connection.close()
                else:
                    return connection
        return psycopg.connect(
            self._uri,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            **self._options,
        )


def _verifying(uri: str, root_cert: str) -> dict[str, str]:
    """Return the TLS options that the real server derives from an authority.

    With `sslmode=disable` in the URI there are none. `verify-ca`, `verify-full` and no `sslmode`
    verify certificate and name, as Node does. Any other mode verifies no certificate.
    """
    mode = parse_qs(urlsplit(uri).query).get("sslmode", ["verify-full"])[0]
    if mode == "disable":
        return {}
    if mode not in ("verify-ca", "verify-full"):
        return {"sslmode": "require", "sslrootcert": "/nonexistent"}
    with NamedTemporaryFile(prefix="authority-", suffix=".crt", delete=False) as file:
        file.write(base64.b64decode(root_cert))
    return {"sslmode": "verify-full", "sslrootcert": file.name}
