"""Test the script that reads second factors, on a real PostgreSQL with the real tables' columns."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from infisical_iac.workspace.second_factor import Account, parse

from .factors import drop_database, make_database, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .postgres import Postgres

_TABLES = """
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), username text NOT NULL,
    email text, "isAccepted" boolean DEFAULT false, "isMfaEnabled" boolean DEFAULT false,
    "selectedMfaMethod" text, "isGhost" boolean NOT NULL DEFAULT false);
CREATE TABLE totp_configs (id uuid DEFAULT gen_random_uuid(), "userId" uuid,
    "isVerified" boolean NOT NULL DEFAULT false);
INSERT INTO users (username, "isAccepted", "isMfaEnabled", "selectedMfaMethod", "isGhost") VALUES
    ('none', true, false, NULL, false),
    ('app', true, true, 'totp', false),
    ('app-off', true, false, 'totp', false),
    ('app-unverified', true, true, 'totp', false),
    ('app-removed', true, true, 'totp', false),
    ('mail', true, true, 'email', false),
    ('by-default', true, true, NULL, false),
    ('passkey', true, true, 'webauthn', false),
    ('passkey-removed', true, true, 'webauthn', false),
    ('invited', false, false, NULL, false),
    ('unset', NULL, NULL, NULL, false),
    ('ghost', true, false, NULL, true);
UPDATE users SET email = 'App@example.com' WHERE username = 'app';
INSERT INTO totp_configs ("userId", "isVerified")
    SELECT id, username <> 'app-unverified' FROM users
    WHERE username IN ('app', 'app-off', 'app-unverified');
"""
_PASSKEYS = """
CREATE TABLE webauthn_credentials (id uuid DEFAULT gen_random_uuid(), "userId" uuid);
INSERT INTO webauthn_credentials ("userId") SELECT id FROM users WHERE username = 'passkey';
"""


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Postgres]:
    make_database(postgres)
    yield postgres
    drop_database(postgres)


def _factors(directory: Path, postgres: Postgres) -> dict[str, str]:
    done = run(directory, postgres)
    assert done.returncode == 0, done.stderr
    known = parse(done.stdout.splitlines(), date(2027, 1, 15))
    assert known.find_account("app@example.com") == Account(
        ("app@example.com", "app"), factor="totp"
    )
    invited = [each.names[0] for each in known.accounts if not each.is_accepted]
    assert invited == ["invited", "unset"]
    return {each.names[-1]: each.factor for each in known.accounts}


def test_only_a_second_factor_that_works_counts(tmp_path: Path, database: Postgres) -> None:
    database.psql("infisical", _TABLES + _PASSKEYS)
    assert _factors(tmp_path, database) == {
        "app": "totp",
        "app-off": "",
        "app-removed": "",
        "app-unverified": "",
        "by-default": "email",
        "invited": "",
        "mail": "email",
        "none": "",
        "passkey": "webauthn",
        "passkey-removed": "",
        "unset": "",
    }


def test_a_release_without_passkeys_is_read(tmp_path: Path, database: Postgres) -> None:
    database.psql("infisical", _TABLES)
    factors = _factors(tmp_path, database)
    assert (factors["app"], factors["passkey"]) == ("totp", "")


def test_tables_of_another_form_fail(tmp_path: Path, database: Postgres) -> None:
    database.psql("infisical", "CREATE TABLE users (id text)")
    done = run(tmp_path, database)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "ERROR" in done.stderr
