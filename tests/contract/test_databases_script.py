"""Test the scripts that exchange databases, killed at each step, on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.agent import reading
from infisical_iac.agent.api import LoopbackClient
from infisical_iac.agent.contents import KnownProjects
from infisical_iac.agent.database import list_databases_given_up
from infisical_iac.agent.runner import Runner
from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker, fake_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .postgres import Postgres

_RELEASE = "20261125T101112Z-v0.165.16"
_OLD = "infisical_before_20261125t101112z"
_GIVEN_UP = "infisical_given_up_20261125t101112z"
_NEW = "infisical_restoring"
_FUNCTIONS = """
# The whole session, since `timeout` has a process group of its own.
die() {
    test $number = "$DIES_AT" || return 0
    session=$(cut -d ' ' -f 6 /proc/self/stat)
    kill -KILL "$session"
    for each in /proc/[0-9]*/stat; do
        set -- $(cat "$each" 2>/dev/null)
        test "${6-}" != "$session" || test "$1" = $$ || kill -KILL "$1" 2>/dev/null
    done
    kill -KILL $$
}
"""
# Runs the command of a container on this machine. At call number $DIES_AT the calling script is
# killed, before or after the command.
_DOCKER = """
ps*) echo "aa / infisical_postgres-1/ Up 5 seconds" ;;
inspect*State.Status*) echo running ;;
inspect*) echo infisical_postgres-1 ;;
service*) echo infisical/infisical:v0.165.16 ;;
exec*psql*)
    number=$(($(cat "$HOST/number" 2>/dev/null || echo 0) + 1))
    echo $number >"$HOST/number"
    test "$DIES" != before || die
    while [ "$1" != psql ]; do shift; done
    shift
    PGHOST=127.0.0.1 psql "$@"
    status=$?
    die
    exit $status
    ;;
"""
# Insert a version too, because reading a secret updates its row but adds no version.
_INSERT = """
INSERT INTO secrets_v2 (key, "updatedAt") VALUES ('{secret}', {at});
INSERT INTO secret_versions_v2 VALUES ('{secret}', {at});
"""
_PLACES = ("/etc/infisical", "/var/lib/infisical-", "/var/backups/infisical-iac")


class _Cluster:
    """Databases, and the scripts of a leader that exchange them."""

    def __init__(self, directory: Path, postgres: Postgres) -> None:
        self.directory, self.postgres = directory, postgres
        fake_docker(directory / "programs", _DOCKER, functions=_FUNCTIONS)
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
        for name in self.databases():
            self.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            self.sql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
        for program in ("upgrade", "restore", "scale"):
            subprocess.run(
                ["rm", "-rf", self.directory / f"var/lib/infisical-{program}"], check=True
            )
        (self.directory / "number").unlink(missing_ok=True)

    def make(self, name: str, secret: str) -> None:
        """Make a database with a secret that is an hour old."""
        self.sql("postgres", f"CREATE DATABASE {name}")
        at = "now() - interval '1 hour'"
        self.sql(
            name,
            'CREATE TABLE secrets_v2 (id uuid DEFAULT gen_random_uuid(), key text, "updatedAt"'
            " timestamptz DEFAULT now());"
            ' CREATE TABLE secret_versions_v2 (key text, "createdAt" timestamptz DEFAULT now());'
            + _INSERT.format(secret=secret, at=at),
        )

    def write(self, name: str, secret: str) -> None:
        """Write a secret, as Infisical does."""
        self.sql(name, _INSERT.format(secret=secret, at="now() + interval '1 second'"))

    def sql(self, database: str, statement: str) -> str:
        return self.postgres.psql(database, statement).strip()

    def databases(self) -> list[str]:
        listed = "SELECT datname FROM pg_database WHERE datname ~ '^infisical(_[a-z]|$)' ORDER BY 1"
        return self.sql("postgres", listed).split()

    def secrets(self) -> dict[str, list[str]]:
        """Return the secrets of each database."""
        return {
            name: self.sql(name, "SELECT key FROM secrets_v2 ORDER BY 1").split()
            for name in self.databases()
        }

    def run(
        self, *step: str, stdin: str = "", dies: tuple[str, int] = ("never", 0)
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, and kill it before or after its numbered call of PostgreSQL."""
        command = script(*step)
        for place in _PLACES:
            command = command.replace(place, f"{self.directory}{place}")
        (self.directory / "number").unlink(missing_ok=True)
        return subprocess.run(
            ["sh", "-c", command],
            env={
                "PATH": f"{self.directory / 'programs'}:{os.environ['PATH']}",
                "HOST": str(self.directory),
                "PGPORT": str(self.postgres.port),
                "DIES": dies[0],
                "DIES_AT": str(dies[1]),
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    def ok(self, *step: str) -> str:
        done = self.run(*step)
        assert done.returncode == 0, (step, done.stderr)
        return done.stdout

    def dies(self, begin: Callable[[], None], *step: str) -> Iterator[str]:
        """Kill a script at each of its calls in turn, and yield where it was killed."""
        for number in count(1):
            begin()
            when = "before" if number % 3 == 0 else "after"
            done = self.run(*step, dies=(when, number))
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL, (when, number, done.stderr)
            yield f"{when} call {number}"

    def state(self, phase: str) -> None:
        """Write the state of a change of version in a phase."""
        where = self.directory / "var/lib/infisical-upgrade"
        where.mkdir(parents=True, exist_ok=True)
        (where / "state").write_text(f"{_RELEASE} {phase} infisical/infisical:v0.166.0\n")
        (where / "exchanged").touch()


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres) -> Iterator[_Cluster]:
    made = _Cluster(tmp_path, postgres)
    made.clear()
    yield made
    made.clear()


def _swap(cluster: _Cluster) -> None:
    """Make two exchanged databases; the new one has a later write."""
    cluster.clear()
    cluster.make(_OLD, "old")
    cluster.make("infisical", "new")
    cluster.state("swapped")
    cluster.write("infisical", "acknowledged")


_BACK = ("upgrade-cluster", "back")
_IMAGE = "infisical/infisical:v0.165.16"


def _rows(output: str) -> list[list[str]]:
    """Return the words of each line that a script printed."""
    return [line.split() for line in output.splitlines()]


def test_a_rollback_keeps_later_writes_in_a_named_database(cluster: _Cluster) -> None:
    _swap(cluster)
    said = cluster.ok(*_BACK)
    ((kind, name, moment, count, image),) = _rows(said)
    assert (kind, name, count, image) == ("given-up", _GIVEN_UP, "1", _IMAGE)
    assert re.fullmatch(r"20\d\d-\S+Z", moment)
    assert cluster.secrets() == {"infisical": ["old"], _GIVEN_UP: ["acknowledged", "new"]}
    assert cluster.ok(*_BACK) == said

    def sql(text: str, *, database: str) -> list[str]:
        return cluster.sql(database, text).splitlines()

    server: Any = SimpleNamespace(sql=sql)
    (given_up,) = list_databases_given_up(server)
    assert (given_up.name, given_up.since, given_up.writes) == (_GIVEN_UP, moment, 1)
    assert given_up.images == (_IMAGE,)
    cluster.ok("upgrade-cluster", "end")
    assert cluster.secrets() == {"infisical": ["old"], _GIVEN_UP: ["acknowledged", "new"]}


def test_a_primary_whose_clock_is_behind_hides_no_write(cluster: _Cluster) -> None:
    """The state is written by the leader, whose clock is an hour ahead here."""
    _swap(cluster)
    where = cluster.directory / "var/lib/infisical-upgrade"
    (where / "loaded").write_text(cluster.sql("infisical", _NEXT))
    cluster.write("infisical", "late")
    ahead = time.time() + 3600
    os.utime(where / "state", (ahead, ahead))
    assert re.search(rf"given-up {_GIVEN_UP} 20\d\d-\S+Z 1 ", cluster.ok(*_BACK))


def test_a_rollback_killed_anywhere_loses_nothing_and_is_completed(
    cluster: _Cluster,
) -> None:
    deaths = 0
    for death in cluster.dies(partial(_swap, cluster), *_BACK):
        deaths += 1
        said = cluster.ok(*_BACK)
        assert f"given-up {_GIVEN_UP} 20" in said, death
        expected = {"infisical": ["old"], _GIVEN_UP: ["acknowledged", "new"]}
        assert cluster.secrets() == expected, death
        assert cluster.sql("postgres", _CLOSED) == "", death
    assert deaths >= 9


_NEXT = "SELECT pg_snapshot_xmin(pg_current_snapshot())::xid"
_CLOSED = "SELECT datname FROM pg_database WHERE datname ~ '^infisical' AND NOT datallowconn"


def test_an_open_transaction_does_not_block_a_rollback(cluster: _Cluster) -> None:
    _swap(cluster)
    writer = subprocess.Popen(
        ["psql", "-X", cluster.postgres.uri("infisical")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert writer.stdin
    assert writer.stdout
    insert = "INSERT INTO secrets_v2 (key) VALUES ('unacknowledged')"
    writer.stdin.write(f"BEGIN; {insert};\n\\echo x\n")
    writer.stdin.flush()
    while writer.stdout.readline().strip() != "x":
        pass
    cluster.ok(*_BACK)
    writer.communicate()
    assert cluster.secrets() == {"infisical": ["old"], _GIVEN_UP: ["acknowledged", "new"]}


def test_a_second_rollback_keeps_a_second_database(cluster: _Cluster) -> None:
    _swap(cluster)
    cluster.ok(*_BACK)
    cluster.sql("postgres", f"ALTER DATABASE infisical RENAME TO {_OLD}")
    cluster.make("infisical", "again")
    cluster.state("swapped")
    assert len(cluster.ok(*_BACK).splitlines()) == 2
    assert cluster.secrets() == {
        "infisical": ["old"],
        _GIVEN_UP: ["acknowledged", "new"],
        f"{_GIVEN_UP}_2": ["again"],
    }


def test_a_rollback_begun_by_an_earlier_release_is_completed(
    cluster: _Cluster,
) -> None:
    cluster.make(_OLD, "old")
    cluster.state("backing")
    assert cluster.ok(*_BACK) == ""
    assert cluster.secrets() == {"infisical": ["old"]}


def test_a_revert_keeps_data_that_the_old_version_can_not_use(cluster: _Cluster) -> None:
    def load_dump() -> None:
        cluster.clear()
        cluster.make("infisical", "unusable")
        cluster.make(_NEW, "dump")
        cluster.state("back")

    for death in cluster.dies(load_dump, "upgrade-cluster", "revert"):
        said = cluster.ok(*_BACK)
        if cluster.secrets() != {"infisical": ["unusable"]}:
            assert cluster.secrets() == {"infisical": ["dump"], _GIVEN_UP: ["unusable"]}, death
            assert f"given-up {_GIVEN_UP} 2026-11-25T10:11:12Z " in said, death
    # The last run was not killed.
    assert cluster.secrets() == {"infisical": ["dump"], _GIVEN_UP: ["unusable"]}


def test_writes_are_counted_by_transaction_from_the_start_of_the_change(
    cluster: _Cluster,
) -> None:
    """The clock of the leader does not matter: it was far ahead when the change began."""
    cluster.make("infisical", "unusable")
    cluster.state("back")
    where = cluster.directory / "var/lib/infisical-upgrade"
    release = _RELEASE.replace("2026", "2096")
    (where / "state").write_text(f"{release} back infisical/infisical:v0.166.0\n")
    (where / "begun").write_text(cluster.sql("infisical", _NEXT))
    cluster.write("infisical", "acknowledged")
    cluster.make(_NEW, "dump")
    kind, name, moment, count, _ = _rows(cluster.ok("upgrade-cluster", "revert"))[0]
    assert (kind, name) == ("given-up", _GIVEN_UP.replace("2026", "2096"))
    assert (moment, count) == ("2096-11-25T10:11:12Z", "1")


def test_the_end_of_an_upgrade_drops_only_databases_without_writes(cluster: _Cluster) -> None:
    cluster.make("infisical", "new")
    cluster.make(_OLD, "old")
    for name, note in {"a": "2026 0 image", "b": "2026 3 image"}.items():
        cluster.make(f"infisical_given_up_{name}", "given-up")
        cluster.sql("postgres", f"COMMENT ON DATABASE infisical_given_up_{name} IS '{note}'")
    cluster.make("infisical_given_up_c", "given-up")
    cluster.state("swapped")
    assert _rows(cluster.ok("upgrade-cluster", "end")) == [
        ["removed", "infisical_given_up_a"],
        ["given-up", "infisical_given_up_b", "2026", "3", "image"],
        ["given-up", "infisical_given_up_c", "unknown", "unknown"],
    ]
    assert cluster.databases() == ["infisical", "infisical_given_up_b", "infisical_given_up_c"]


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
