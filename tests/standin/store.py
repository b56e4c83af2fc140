"""Documents in PostgreSQL: every table is an id, two times and a JSONB document."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any, LiteralString
from uuid import uuid4

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

Document = dict[str, Any]


def timestamp(moment: datetime) -> str:
    """Return a time as the API writes it: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    return datetime.now(UTC)


class Store:
    """The documents in one transaction. Table names are constants of the code."""

    def __init__(self, connection: Connection[Document]) -> None:
        self.connection = connection

    def insert(self, table: str, data: Document, identifier: str | None = None) -> Document:
        rows = self._run(
            "INSERT INTO {table} (id, data) VALUES (%s, %s) RETURNING *",
            table,
            (identifier or str(uuid4()), Jsonb(data)),
        )
        return rows[0]

    def get(self, table: str, identifier: str) -> Document | None:
        rows = self._run("SELECT * FROM {table} WHERE id = %s", table, (identifier,))
        return rows[0] if rows else None

    def find(self, table: str, **match: Any) -> list[Document]:
        """Return the documents with all fields of `match`, oldest first."""
        return self._run(
            "SELECT * FROM {table} WHERE data @> %s ORDER BY seq", table, (Jsonb(match),)
        )

    def first(self, table: str, **match: Any) -> Document | None:
        rows = self.find(table, **match)
        return rows[0] if rows else None

    def update(self, table: str, identifier: str, **changes: Any) -> Document:
        """Replace some fields of an existing document, and return the whole."""
        rows = self._run(
            "UPDATE {table} SET data = data || %s, updated_at = now() WHERE id = %s RETURNING *",
            table,
            (Jsonb(changes), identifier),
        )
        return rows[0]

    def delete(self, table: str, identifier: str) -> None:
        self._run("DELETE FROM {table} WHERE id = %s RETURNING *", table, (identifier,))

    def delete_where(self, table: str, **match: Any) -> None:
        if not match:
            raise ValueError("delete_where needs at least one field to match")
        self._run("DELETE FROM {table} WHERE data @> %s RETURNING *", table, (Jsonb(match),))

    def _run(self, statement: LiteralString, table: str, values: tuple[Any, ...]) -> list[Document]:
        query = _query(statement, table)
        return [_document(row) for row in self.connection.execute(query, values).fetchall()]


@cache
def _query(statement: LiteralString, table: str) -> bytes:
    """Return a statement for a table; psycopg parses bytes once, and a composition each time."""
    return sql.SQL(statement).format(table=sql.Identifier(table)).as_bytes()


def _document(row: Document) -> Document:
    return {
        "id": row["id"],
        "createdAt": timestamp(row["created_at"]),
        "updatedAt": timestamp(row["updated_at"]),
        **row["data"],
    }
