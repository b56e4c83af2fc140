"""Test the query of second factors, on a real PostgreSQL with the real tables' columns."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from infisical_iac.workspace.second_factor import Account, known_factors

from .factors import drop_database, make_database, read

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def _factors(postgres: Postgres) -> dict[str, str]:
    known = known_factors(read(postgres), date(2027, 1, 15))
    assert known.find_account("app@example.com") == Account(
        ("app@example.com", "app"), factor="totp"
    )
    invited = [each.names[0] for each in known.accounts if not each.is_accepted]
    assert invited == ["invited", "unset"]
    return {each.names[-1]: each.factor for each in known.accounts}


def test_only_a_second_factor_that_works_counts(database: Postgres) -> None:
    database.psql("infisical", _TABLES + _PASSKEYS)
    assert _factors(database) == {
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


def test_a_release_without_passkeys_is_read(database: Postgres) -> None:
    database.psql("infisical", _TABLES)
    factors = _factors(database)
    assert (factors["app"], factors["passkey"]) == ("totp", "")


def test_tables_of_another_form_fail(database: Postgres) -> None:
    database.psql("infisical", "CREATE TABLE users (id text)")
    with pytest.raises(RuntimeError) as failed:
        read(database)
    assert "ERROR" in failed.value.args[0].message
