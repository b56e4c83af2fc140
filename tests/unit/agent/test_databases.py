"""Test how the databases of a cluster are exchanged, moved back, given up and counted."""

from pathlib import Path

import pytest

from infisical_iac.agent import databases
from infisical_iac.agent.data import WriteNote
from infisical_iac.agent.database import Database, find_database, list_databases_given_up
from infisical_iac.agent.databases import MAIN, NEW
from infisical_iac.agent.runner import Failure
from tests.unit.agent.fake_primary import FakePrimary

_STAMP = "20261125T101112Z"
_ASIDE, _GIVEN_UP = "infisical_before_20261125t101112z", "infisical_given_up_20261125t101112z"
_NOTE = WriteNote("2026-11-25T10:12:00Z", "42", ("image@sha256:1",))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrimary:
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = FakePrimary(tmp_path)
    made.begin(infisical="old")
    made.write("/dump", "new")
    return made


@pytest.fixture
def database(host: FakePrimary) -> Database:
    return find_database(host, "swarm")


def _failure(error: pytest.ExceptionInfo[RuntimeError]) -> Failure:
    found: Failure = error.value.args[0]
    return found


def test_a_dump_is_loaded_next_to_the_data(host: FakePrimary, database: Database) -> None:
    loaded = databases.load(database, host.path("/dump"))
    assert (loaded.rows, loaded.transaction) == ({"projects": 2}, "770")
    assert host.databases == {MAIN: "old", NEW: "new"}
    host.write("/dump", "newer")
    databases.load(database, host.path("/dump"))
    assert host.databases == {MAIN: "old", NEW: "newer"}


def test_a_dump_that_cannot_be_loaded_is_an_error(host: FakePrimary, database: Database) -> None:
    host.failing.append("pg_restore")
    with pytest.raises(RuntimeError) as refused:
        databases.load(database, host.path("/dump"))
    assert _failure(refused).message.endswith("it fails")


def test_nothing_is_loaded_without_a_standby(host: FakePrimary, database: Database) -> None:
    host.change(alone=True)
    with pytest.raises(RuntimeError) as refused:
        databases.load(database, host.path("/dump"))
    assert "bring another data node back" in _failure(refused).remedy
    assert host.databases == {MAIN: "old"}


def test_databases_are_exchanged_once(host: FakePrimary, database: Database) -> None:
    databases.load(database, host.path("/dump"))
    for _ in range(2):
        databases.exchange(database, _ASIDE)
        assert host.databases == {MAIN: "new", _ASIDE: "old"}
        assert host.read()["closed"] == []


def test_nothing_is_exchanged_without_loaded_data(host: FakePrimary, database: Database) -> None:
    with pytest.raises(RuntimeError) as refused:
        databases.exchange(database, _ASIDE)
    assert _failure(refused).code == "command"
    assert host.databases == {MAIN: "old"}


def test_databases_that_cannot_be_exchanged_accept_connections(
    host: FakePrimary, database: Database
) -> None:
    host.change(databases={MAIN: "old", NEW: "new", _ASIDE: "in the way"})
    with pytest.raises(RuntimeError) as refused:
        databases.exchange(database, _ASIDE)
    assert "could not be swapped" in _failure(refused).message
    assert host.databases == {MAIN: "old", NEW: "new", _ASIDE: "in the way"}
    assert host.read()["closed"] == []


def test_data_that_come_back_give_up_those_in_their_place(
    host: FakePrimary, database: Database
) -> None:
    host.change(databases={MAIN: "new", _ASIDE: "old", NEW: "of a killed run"})
    for _ in range(2):
        databases.take_back(database, _ASIDE, _STAMP, _NOTE)
        assert host.databases == {MAIN: "old", _GIVEN_UP: "new"}
        assert host.read()["closed"] == []
    (given_up,) = list_databases_given_up(database, _STAMP)
    assert (given_up.since, given_up.writes) == (_NOTE.since, 42)
    assert given_up.images == _NOTE.images


def test_a_second_rollback_gives_up_a_second_database(
    host: FakePrimary, database: Database
) -> None:
    host.change(databases={MAIN: "again", _ASIDE: "old", _GIVEN_UP: "new"})
    databases.take_back(database, _ASIDE, _STAMP, _NOTE)
    assert host.databases == {MAIN: "old", _GIVEN_UP: "new", f"{_GIVEN_UP}_2": "again"}


def test_data_come_back_where_an_earlier_version_had_dropped_the_new_ones(
    host: FakePrimary, database: Database
) -> None:
    host.change(databases={_ASIDE: "old"})
    databases.take_back(database, _ASIDE, _STAMP, WriteNote())
    assert host.databases == {MAIN: "old"}


@pytest.mark.parametrize(("mute", "writes"), [(False, "42"), (True, "unknown")])
def test_writes_are_counted_where_possible(
    host: FakePrimary, database: Database, mute: bool, writes: str
) -> None:
    host.change(mute=mute)
    found = databases.count_writes(database, "2026-11-25T10:12:00Z", "770")
    expected = ("infisical/infisical:v0.165.16",)
    assert found == WriteNote("2026-11-25T10:12:00Z", writes, expected)


def test_a_proven_change_drops_only_data_without_writes(
    host: FakePrimary, database: Database
) -> None:
    given_up = {f"infisical_given_up_{each}": each for each in ("none", "some", "x")}
    comments = {"infisical_given_up_none": "2026 0 i", "infisical_given_up_some": "2026 3 i"}
    host.change(databases={MAIN: "new", **given_up}, comments=comments)
    gone, kept = databases.forget_given_up(database)
    assert gone == ["infisical_given_up_none"]
    found = [(each.name, each.since, each.writes) for each in kept]
    assert found == [("infisical_given_up_some", "2026", 3), ("infisical_given_up_x", "", None)]
    assert host.given_up().keys() == {each.name for each in kept}


def test_redis_is_emptied_through_its_sentinels(host: FakePrimary) -> None:
    databases.empty_redis(host)
    assert host.read()["emptied"] == 1
    host.failing.append("redisid")
    with pytest.raises(RuntimeError) as refused:
        databases.empty_redis(host)
    assert "`infisical-iac apply`" in _failure(refused).remedy


def test_logs_are_kept_without_secrets(host: FakePrimary) -> None:
    databases.keep_logs(host, "/var/backups/failed.log")
    assert host.text("/var/backups/failed.log") == "a logged line\n"


def test_a_database_that_starts_late_is_waited_for(
    host: FakePrimary, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.failing.append("psql")
    monkeypatch.setattr("time.sleep", lambda _: host.failing.clear())
    assert databases.find(host).is_clustered


def test_a_database_that_does_not_answer_is_an_error(
    host: FakePrimary, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.failing.append("psql")
    monkeypatch.setattr(databases, "_FIND_SECONDS", 0)
    with pytest.raises(RuntimeError):
        databases.find(host)
