"""Connections to PostgreSQL that survive its absence."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import psycopg
from psycopg.rows import dict_row

from .store import Document, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CONNECTIONS = 20
CONNECT_TIMEOUT_SECONDS = 2


class Database:
    """A small pool. Idle connections are tried before use, so a restart heals by itself."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._idle: LifoQueue[psycopg.Connection[Document]] = LifoQueue()
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
                    self._idle.put(connection)

    def _take(self) -> psycopg.Connection[Document]:
        with suppress(Empty):
            while True:
                connection = self._idle.get_nowait()
                try:
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
        )
