"""Create the schema at every start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from .store import Store

ADVISORY_LOCK = 727_201
TABLES = (
    "super_admin",
    "kms_root_config",
    "users",
    "organizations",
    "org_memberships",
    "identities",
    "identity_universal_auths",
    "identity_ua_client_secrets",
    "identity_access_tokens",
    "projects",
    "project_memberships",
    "additional_privileges",
    "project_environments",
    "secret_folders",
    "secret_imports",
    "secret_tags",
    "secrets_v2",
    "secret_versions_v2",
    "service_tokens",
    "identity_token_auths",
    "secret_syncs",
    "auth_tokens",
    "totp_configs",
    "webauthn_credentials",
    "user_aliases",
    "rate_limit",
    "audit_logs",
    "groups",
    "auth_token_sessions",
    "identity_oidc_auths",
    "folder_commits",
)
# Columns of the real tables that are read by SQL, because the API shows them to nobody else.
COLUMNS = {
    "users": (
        "email text GENERATED ALWAYS AS (data ->> 'email') STORED",
        "username text GENERATED ALWAYS AS (data ->> 'username') STORED",
        "\"isAccepted\" boolean GENERATED ALWAYS AS (coalesce((data ->> 'isAccepted')::boolean,"
        " data ->> 'passwordHash' IS NOT NULL)) STORED",
        "\"isMfaEnabled\" boolean GENERATED ALWAYS AS ((data ->> 'isMfaEnabled')::boolean) STORED",
        "\"selectedMfaMethod\" text GENERATED ALWAYS AS (data ->> 'selectedMfaMethod') STORED",
        '"isGhost" boolean GENERATED ALWAYS AS'
        " (coalesce((data ->> 'isGhost')::boolean, false)) STORED",
    ),
    "totp_configs": (
        "\"userId\" text GENERATED ALWAYS AS (data ->> 'userId') STORED",
        "\"isVerified\" boolean GENERATED ALWAYS AS ((data ->> 'isVerified')::boolean) STORED",
    ),
    "webauthn_credentials": ("\"userId\" text GENERATED ALWAYS AS (data ->> 'userId') STORED",),
}
COLUMNS_OF_COMMITS = {
    "folder_commits": (
        "\"actorMetadata\" jsonb GENERATED ALWAYS AS (data -> 'actorMetadata') STORED",
        "\"folderId\" text GENERATED ALWAYS AS (data ->> 'folderId') STORED",
        "\"envId\" text GENERATED ALWAYS AS (data ->> 'envId') STORED",
        '"createdAt" timestamptz GENERATED ALWAYS AS (created_at) STORED',
    ),
    "secret_folders": (
        "name text GENERATED ALWAYS AS (data ->> 'name') STORED",
        "\"envId\" text GENERATED ALWAYS AS (data ->> 'envId') STORED",
        "\"parentId\" text GENERATED ALWAYS AS (data ->> 'parentId') STORED",
    ),
    "project_environments": (
        "slug text GENERATED ALWAYS AS (data ->> 'slug') STORED",
        "\"projectId\" text GENERATED ALWAYS AS (data ->> 'projectId') STORED",
    ),
}


def wait_for_turn(store: Store) -> None:
    """Wait for other servers that migrate; hold the lock until the transaction ends."""
    store.connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))


def migrate(store: Store) -> None:
    """Create what is missing."""
    run = store.connection.execute
    run(
        "CREATE TABLE IF NOT EXISTS infisical_migrations (id serial PRIMARY KEY,"
        " name text UNIQUE, batch integer, migration_time timestamptz DEFAULT now())"
    )
    done = {row["name"] for row in run("SELECT name FROM infisical_migrations").fetchall()}
    for number, table in enumerate(TABLES, start=1):
        name = f"{20260700000000 + number}_{table}.mjs"
        if name not in done:
            run(_create(table))
            run("INSERT INTO infisical_migrations (name, batch) VALUES (%s, 1)", (name,))
    for name, columns_of in (
        ("20260700000999_columns_of_people.mjs", COLUMNS),
        ("20260700001000_columns_of_commits.mjs", COLUMNS_OF_COMMITS),
    ):
        if name not in done:
            for table, columns in columns_of.items():
                added = ", ".join(f"ADD COLUMN {each}" for each in columns)
                run(sql.SQL(f"ALTER TABLE {table} {added}"))
            run("INSERT INTO infisical_migrations (name, batch) VALUES (%s, 1)", (name,))


def _create(table: str) -> sql.Composed:
    return sql.SQL(
        "CREATE TABLE {table} (id text PRIMARY KEY, seq bigint GENERATED ALWAYS AS IDENTITY,"
        " data jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),"
        " updated_at timestamptz NOT NULL DEFAULT now());"
        " CREATE INDEX {index} ON {table} USING gin (data jsonb_path_ops)"
    ).format(table=sql.Identifier(table), index=sql.Identifier(f"{table}_data"))
