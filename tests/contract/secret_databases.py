"""Databases of a cluster with secrets, in a real PostgreSQL, for tests that exchange them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .postgres import Postgres

# Insert a version too, because reading a secret updates its row but adds no version.
_INSERT = """
INSERT INTO secrets_v2 (key, "updatedAt") VALUES ('{secret}', {at});
INSERT INTO secret_versions_v2 VALUES ('{secret}', {at});
"""


class SecretDatabases:
    """The databases of a cluster.

    Attributes:
        made_at, written_at: SQL for the times of the secrets that are made with a database, and of
            those that are written to it later.
    """

    made_at = "now() - interval '1 hour'"
    written_at = "now() + interval '1 second'"

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres

    def drop_all(self) -> None:
        """Remove the databases that a test has left."""
        for name in self.databases():
            self.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            self.sql("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def make(self, name: str, secret: str) -> None:
        """Make a database with a secret."""
        self.sql("postgres", f"CREATE DATABASE {name}")
        self.sql(
            name,
            'CREATE TABLE secrets_v2 (id uuid DEFAULT gen_random_uuid(), key text, "updatedAt"'
            " timestamptz DEFAULT now());"
            ' CREATE TABLE secret_versions_v2 (key text, "createdAt" timestamptz DEFAULT now());'
            + _INSERT.format(secret=secret, at=self.made_at),
        )

    def write(self, name: str, secret: str, *, at: str = "") -> None:
        """Write a secret as Infisical does, at the time that an SQL gives, or at `written_at`."""
        self.sql(name, _INSERT.format(secret=secret, at=at or self.written_at))

    def sql(self, database: str, statement: str) -> str:
        """Return what psql prints for a statement."""
        return self.postgres.psql(database, statement).strip()

    def databases(self) -> list[str]:
        """Return the names of the databases that are Infisical's."""
        listed = "SELECT datname FROM pg_database WHERE datname ~ '^infisical(_[a-z]|$)' ORDER BY 1"
        return self.sql("postgres", listed).split()

    def secrets(self) -> dict[str, list[str]]:
        """Return the secrets of each database."""
        return {
            name: self.sql(name, "SELECT key FROM secrets_v2 ORDER BY 1").split()
            for name in self.databases()
        }
