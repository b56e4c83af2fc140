"""Test reading from a real PostgreSQL which folders were written to, by Infisical's own tables."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent.access import WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres import Postgres

_DATABASE = "noted"
_AT = 1795674408
# The columns that the real server's tables have; the root of an environment has no parent.
_TABLES = """
CREATE TABLE project_environments (id int, slug text, "projectId" text);
CREATE TABLE secret_folders (id int, name text, "envId" int, "parentId" int);
CREATE TABLE folder_commits ("actorMetadata" jsonb, "folderId" int, "envId" int,
    "createdAt" timestamptz);
INSERT INTO project_environments VALUES (1, 'production', 'p1');
INSERT INTO secret_folders VALUES (1, 'root', 1, NULL), (2, 'a', 1, 1), (3, 'b', 1, 2);
INSERT INTO folder_commits SELECT '{"id": "i1", "name": "backend"}', folder, 1, to_timestamp(at)
    FROM (VALUES (3, 1795674408.25), (1, 1795674409), (9, 1795674410), (1, 1795670000))
    AS made (folder, at);
"""


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Postgres]:
    postgres.create_database(_DATABASE)
    yield postgres
    postgres.psql("postgres", f"DROP DATABASE {_DATABASE}")


def _noted(postgres: Postgres) -> list[list[Any]]:
    done = subprocess.run(
        ["psql", "-XAtq", "--set", "ON_ERROR_STOP=1", postgres.uri(_DATABASE)],
        input=WRITES.format(since=_AT),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_write_has_its_caller_environment_and_folder(database: Postgres) -> None:
    """A folder that is gone has no path any more."""
    database.psql(_DATABASE, _TABLES)
    found = _noted(database)
    assert found[0] == [_AT + 0.25, "i1", "p1", "production", "/a/b"]
    assert [folder for *_, folder in found[1:]] == ["/", "?"]


def test_a_release_that_notes_nothing_is_no_error(database: Postgres) -> None:
    assert _noted(database) == []
