"""Test counting writes since a time in a real PostgreSQL, by the columns of Infisical's tables."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import data
from infisical_iac.core.rendering import script_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Postgres

_SINCE = "2026-11-27T20:00:00Z"
_BEFORE, _AFTER = "2026-11-27T19:59:00Z", "2026-11-27T20:01:00Z"
_TABLES = (
    *("secrets_v2", "secret_versions_v2", "secret_folders", "folder_commits", "secret_snapshots"),
    *("projects", "memberships", "users", "identities"),
    *("identity_ua_client_secrets", "identity_access_tokens", "audit_logs"),
    "identity_access_token_revocations",
)


_REVOKED = {
    "identity_ua_client_secrets": "isClientSecretRevoked",
    "identity_access_tokens": "isAccessTokenRevoked",
}
_REVOKE = 'UPDATE {table} SET "{column}" = true, "updatedAt" = \'{{after}}\''
_DATABASE = "writes"


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Postgres]:
    """A database with tables like Infisical's, each with a row from before the time."""
    postgres.create_database(_DATABASE)
    for table in _TABLES:
        postgres.psql(
            _DATABASE,
            f'CREATE TABLE {table} (id int, "createdAt" timestamptz, "updatedAt" timestamptz); '
            f"INSERT INTO {table} VALUES (1, '{_BEFORE}', '{_BEFORE}')",
        )
    for table, column in _REVOKED.items():
        postgres.psql(
            _DATABASE, f'ALTER TABLE {table} ADD "{column}" boolean NOT NULL DEFAULT false'
        )
    yield postgres
    postgres.psql("postgres", f"DROP DATABASE {_DATABASE}")


def _count(postgres: Postgres, loaded: str = "") -> str:
    text, uri = script_file("writes"), postgres.uri(_DATABASE)
    command = (
        f"{text}\nquestions {_SINCE} {loaded} | psql -XAtq --set ON_ERROR_STOP=1 '{uri}' | total"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    # A cluster's scripts and the agent count alike.
    counted = subprocess.run(
        ["psql", "-XAtq", "--set", "ON_ERROR_STOP=1", uri],
        input=data.count_query(_SINCE, loaded),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert str(data.total(counted.stdout.splitlines())) == done.stdout.strip()
    return done.stdout.strip()


def test_earlier_rows_are_not_counted(database: Postgres) -> None:
    assert _count(database) == "0"


@pytest.mark.parametrize(
    ("statement", "writes"),
    [
        ("INSERT INTO secret_versions_v2 VALUES (2, '{after}', '{after}')", "1"),
        ("UPDATE projects SET \"updatedAt\" = '{after}'", "1"),
        ("DELETE FROM secrets_v2", "1"),
        ("DELETE FROM memberships", "1"),
        ("DELETE FROM identities", "1"),
        ("DELETE FROM identity_access_tokens", "0"),
        *((_REVOKE.format(table=table, column=name), "1") for table, name in _REVOKED.items()),
        ("INSERT INTO memberships VALUES (2, '{after}', '{after}')", "1"),
        ("UPDATE secret_folders SET \"updatedAt\" = '{after}'", "0"),
        ("INSERT INTO folder_commits VALUES (2, '{after}', '{after}')", "0"),
        ("INSERT INTO secret_snapshots VALUES (2, '{after}', '{after}')", "0"),
        ("UPDATE users SET \"updatedAt\" = '{after}'", "0"),
        ("UPDATE memberships SET \"updatedAt\" = '{after}'", "0"),
        ("UPDATE identity_ua_client_secrets SET \"updatedAt\" = '{after}'", "0"),
        ("INSERT INTO identity_access_tokens VALUES (2, '{after}', '{after}')", "0"),
        ("INSERT INTO identity_access_token_revocations VALUES (2, '{after}', '{after}')", "1"),
        ("INSERT INTO audit_logs VALUES (2, '{after}', '{after}')", "0"),
    ],
)
def test_writes_by_people_are_counted_and_side_effects_of_reads_are_not(
    database: Postgres, statement: str, writes: str
) -> None:
    database.psql(_DATABASE, statement.format(after=_AFTER))
    assert _count(database) == writes


def _read_loaded(postgres: Postgres) -> str:
    """Return the transaction that is recorded when the data are loaded."""
    named = f'{script_file("writes")}\necho "$next_transaction"'
    said = subprocess.run(["sh", "-c", named], capture_output=True, text=True, check=True)
    return postgres.psql(_DATABASE, said.stdout).strip()


@pytest.mark.parametrize(
    ("statement", "writes"),
    [
        ("SELECT", "0"),
        ("INSERT INTO secret_versions_v2 VALUES (2, '{before}', '{before}')", "1"),
        ("UPDATE projects SET \"updatedAt\" = '{before}'", "1"),
        ("INSERT INTO audit_logs VALUES (2, '{before}', '{before}')", "0"),
        ("UPDATE users SET \"updatedAt\" = '{before}'", "0"),
        ("INSERT INTO identity_access_tokens VALUES (2, '{before}', '{before}')", "0"),
    ],
)
def test_a_clock_set_back_hides_no_write(database: Postgres, statement: str, writes: str) -> None:
    """By their times both rows are a minute older than the data."""
    loaded = _read_loaded(database)
    database.psql(_DATABASE, "VACUUM FREEZE")
    database.psql(_DATABASE, statement.format(before=_BEFORE))
    assert _count(database, loaded) == writes
    assert _count(database) == "0"


def test_the_count_by_times_prevails_over_a_rewritten_table(database: Postgres) -> None:
    """A migration may rewrite a whole table."""
    loaded = _read_loaded(database)
    database.psql(_DATABASE, "ALTER TABLE identities ALTER id TYPE bigint")
    assert _count(database, loaded) == "1"
    database.psql(_DATABASE, f"UPDATE projects SET \"updatedAt\" = '{_AFTER}'")
    database.psql(_DATABASE, f"INSERT INTO projects VALUES (2, '{_AFTER}', '{_AFTER}')")
    assert _count(database, loaded) == "2"


def test_a_view_is_counted_only_by_its_tables(database: Postgres) -> None:
    database.psql(_DATABASE, "CREATE VIEW seen AS SELECT * FROM projects")
    loaded = _read_loaded(database)
    database.psql(_DATABASE, f"UPDATE projects SET \"updatedAt\" = '{_AFTER}'")
    assert _count(database, loaded) == "1"
