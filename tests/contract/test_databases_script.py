"""Test the scripts that exchange databases on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from infisical_iac.agent import reading
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.contents import KnownProjects
from infisical_iac.agent.runner import Runner
from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker, fake_program

from .secret_databases import SecretDatabases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .postgres import Postgres

_RELEASE = "20261125T101112Z-v0.165.16"
_OLD = "infisical_before_20261125t101112z"
_GIVEN_UP = "infisical_given_up_20261125t101112z"
_NEW = "infisical_restoring"
# Runs the command of a container on this machine.
_DOCKER = """
ps*) echo "aa / infisical_postgres-1/ Up 5 seconds" ;;
inspect*State.Status*) echo running ;;
inspect*) echo infisical_postgres-1 ;;
service*) echo infisical/infisical:v0.165.16 ;;
exec*psql*)
    while [ "$1" != psql ]; do shift; done
    shift
    PGHOST=127.0.0.1 psql "$@"
    ;;
"""
_PLACES = ("/etc/infisical", "/var/lib/infisical-", "/var/backups/infisical-iac")


class _Cluster(SecretDatabases):
    """Databases, and the scripts of a leader that exchange them."""

    def __init__(self, directory: Path, postgres: Postgres) -> None:
        super().__init__(postgres)
        self.directory = directory
        fake_docker(directory / "programs", _DOCKER)
        fake_program(directory / "programs", "curl", "exit 1")
        fake_program(directory / "programs", "sync")
        keys = directory / "etc/infisical/keys"
        keys.mkdir(parents=True)
        for name in ("postgres_password", "redis_password"):
            (keys / name).write_text("obviously-fake")
        release = directory / "var/backups/infisical-iac/upgrades" / _RELEASE
        release.mkdir(parents=True)

    def clear(self) -> None:
        """Remove the leftovers of a test."""
        self.drop_all()
        for program in ("restore", "scale"):
            subprocess.run(
                ["rm", "-rf", self.directory / f"var/lib/infisical-{program}"], check=True
            )

    def run(self, *step: str) -> subprocess.CompletedProcess[str]:
        """Run a script."""
        command = script(*step)
        for place in _PLACES:
            command = command.replace(place, f"{self.directory}{place}")
        return subprocess.run(
            ["sh", "-c", command],
            env={
                "PATH": f"{self.directory / 'programs'}:{os.environ['PATH']}",
                "HOST": str(self.directory),
                "PGPORT": str(self.postgres.port),
            },
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    def ok(self, *step: str) -> str:
        done = self.run(*step)
        assert done.returncode == 0, (step, done.stderr)
        return done.stdout


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres) -> Iterator[_Cluster]:
    made = _Cluster(tmp_path, postgres)
    made.clear()
    yield made
    made.clear()


def _rows(output: str) -> list[list[str]]:
    """Return the words of each line that a script printed."""
    return [line.split() for line in output.splitlines()]


def _write_restore_state(cluster: _Cluster, phase: str) -> None:
    stamp = _RELEASE.partition("-")[0]
    where = cluster.directory / "var/lib/infisical-restore"
    (where / "aside" / stamp / "files").mkdir(parents=True, exist_ok=True)
    (where / "state").write_text(f"{stamp} {phase}\n")


def test_an_undone_restore_keeps_later_writes(cluster: _Cluster) -> None:
    cluster.make(_OLD, "old")
    cluster.make("infisical", "new")
    _write_restore_state(cluster, "data")
    cluster.write("infisical", "acknowledged")
    said = cluster.ok("restore-cluster", "back")
    assert f"given-up {_GIVEN_UP} 20" in said
    assert cluster.secrets() == {"infisical": ["old"], _GIVEN_UP: ["acknowledged", "new"]}
    assert cluster.ok("restore-cluster", "back") == said


def test_a_restore_drops_only_a_database_that_an_earlier_restore_replaced(
    cluster: _Cluster,
) -> None:
    cluster.make("infisical", "new")
    cluster.make(_OLD, "old")
    _write_restore_state(cluster, "data")
    assert cluster.ok("restore-cluster", "end") == f"database {_OLD}\n"
    cluster.make("infisical_before_20261001t000000z", "left by an upgrade")
    other = _OLD.replace("20261125", "20261126")
    cluster.sql("postgres", f"ALTER DATABASE infisical RENAME TO {other}")
    cluster.make("infisical", "newer")
    where = cluster.directory / "var/lib/infisical-restore"
    (where / "aside/20261126T101112Z/files").mkdir(parents=True)
    (where / "state").write_text("20261126T101112Z data\n")
    assert _rows(cluster.ok("restore-cluster", "end")) == [
        ["given-up", "infisical_before_20261001t000000z"],
        ["database", other],
    ]
    assert _OLD not in cluster.databases()


def test_the_next_scale_out_keeps_the_writes_of_one_that_was_rolled_back(
    cluster: _Cluster,
) -> None:
    stamp, other = "20261125T101112Z", "20261126T101112Z"
    where = cluster.directory / "var/lib/infisical-scale"
    where.mkdir(parents=True, exist_ok=True)
    cluster.make("infisical", "moved")
    cluster.make(_GIVEN_UP, "empty")
    cluster.sql(_GIVEN_UP, "DROP TABLE secrets_v2; DROP TABLE secret_versions_v2")
    (where / "state").write_text(f"{stamp} out switched\n")
    cluster.write("infisical", "acknowledged")
    given_up = r"20\d\d-\S+Z 1 infisical/infisical:v0\.165\.16\n"
    said = cluster.ok("scale-out", "back")
    assert re.fullmatch(f"given-up infisical {given_up}", said)
    cluster.ok("scale-out", "end")

    cluster.make(_NEW, "again")
    (where / "state").write_text(f"{other} out paused\n")
    cluster.ok("scale-out", "switch")
    aside = _GIVEN_UP.replace("20261125", "20261126")
    assert re.search(f"given-up {aside} {given_up}", cluster.ok("scale-out", "end"))
    assert cluster.secrets() == {
        "infisical": ["again"],
        aside: ["acknowledged", "moved"],
    }


def test_the_ids_that_the_database_still_has_are_found(
    cluster: _Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that SQL would have to quote is never in a query, and counts as one that is there."""
    cluster.make("infisical", "one")
    cluster.write("infisical", "two")
    one, two = cluster.sql("infisical", "SELECT id FROM secrets_v2 ORDER BY key").split()
    cluster.sql("infisical", f"DELETE FROM secrets_v2 WHERE id = '{one}'")
    database = SimpleNamespace(sql=lambda text: cluster.sql("infisical", text).split())
    monkeypatch.setattr(reading, "find_database", lambda *_: database)
    nobody, odd = LoopbackClient(0), "'); DROP TABLE secrets_v2; --"
    place = reading.ReadingPlace(Runner(), nobody, nobody, "", KnownProjects())
    assert reading.find_present(place, {one, two, odd}) == {two, odd}
    assert reading.find_present(place, {odd}) == {odd}
    assert reading.find_present(place, ()) == set()
