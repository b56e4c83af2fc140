"""Test the agent's dump of a database, and its counts, with a real PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import dump

from .factors import LocalPostgres, drop_database, make_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from infisical_iac.agent.runner import Output

    from .postgres import Postgres

_WORK = "/var/lib/infisical-backup/work"
_TABLES = {"projects": 2, "users": 0, "infisical_migrations": 3, "Quoted table": 1}


@dataclass(frozen=True)
class _LocalDump(LocalPostgres):
    """A host whose pg_dump and pg_restore are those of this machine."""

    def dump(
        self, words: Sequence[str], target: Path, *, stdin: str = "", seconds: float = 60
    ) -> Output:
        return super().dump(self._localize(words, "psql"), target, stdin=stdin, seconds=seconds)

    def load(
        self, words: Sequence[str], source: Path, *, begin: str = "", seconds: float = 60
    ) -> Output:
        local = self._localize(words, "pg_restore")
        return super().load(local, source, begin=begin, seconds=seconds)

    def _localize(self, words: Sequence[str], program: str) -> list[str]:
        # Debian's programs choose their version by the server.
        there = ("env", "PGHOST=127.0.0.1", f"PGPORT={self.port}")
        return [*there, *words[words.index(program) :]]


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Postgres]:
    """A database with tables, some of them with rows."""
    make_database(postgres)
    for table, rows in _TABLES.items():
        fill = f'INSERT INTO "{table}" SELECT generate_series(1, {rows})'
        postgres.psql("infisical", f'CREATE TABLE "{table}" (id int); {fill}')
    yield postgres
    drop_database(postgres)


def test_a_dump_has_the_rows_that_its_manifest_counts(database: Postgres, tmp_path: Path) -> None:
    host = _LocalDump(tmp_path, port=database.port)
    dump.make_dump(host, folder=_WORK)
    found = json.loads(host.text(f"{_WORK}/snapshot/manifest.json") or "")
    assert found["rows"] == {table: rows for table, rows in _TABLES.items() if rows}
    assert (found["migrations"], found["dump"]["tables"]) == (3, len(_TABLES))
    assert found["postgresql"]["version"].split(".")[0].isdecimal()


def test_no_session_of_a_dump_is_left(database: Postgres, tmp_path: Path) -> None:
    host = _LocalDump(tmp_path, port=database.port)
    dump.make_dump(host, folder=_WORK)
    dump.end_sessions(host)
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'infisical-backup%'"
    assert database.psql("infisical", query).strip() == "0"


def test_a_dump_that_ends_early_is_no_snapshot(
    database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump fails, so that the marks of completion are missing."""
    text = dump._DUMP.replace("infisical && echo dumped", "gone && echo dumped")
    monkeypatch.setattr(dump, "_DUMP", text)
    host = _LocalDump(tmp_path, port=database.port)
    with pytest.raises(RuntimeError):
        dump.make_dump(host, folder=_WORK)
    assert not host.path(f"{_WORK}/snapshot").exists()
