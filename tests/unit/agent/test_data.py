"""Test that data are moved, given up and counted, and lost by no kill."""

import json
from pathlib import Path

import pytest

from infisical_iac.agent import data
from infisical_iac.agent.data import MAIN, WriteNote
from infisical_iac.agent.runner import Runner
from tests.unit.agent.fake_engine import STARTED, FakeEngine
from tests.unit.agent.killed import deaths

_STAMP = "20261125T101112Z"
_ASIDE, _NEW = f"{MAIN}_before_{_STAMP}", "infisical-upgrade_postgres"
_GIVEN_UP = f"{MAIN}_given_up_{_STAMP}"
_SINCE = "2026-11-25T10:12:00Z"
_NOTE = WriteNote(_SINCE, "3", ("infisical:1", "postgres:1"))


def _make(directory: Path) -> FakeEngine:
    directory.mkdir()
    host = FakeEngine(directory)
    host.volume(MAIN, base="old")
    host.volume(_NEW, base="new")
    return host


@pytest.fixture
def host(tmp_path: Path) -> FakeEngine:
    return _make(tmp_path / "host")


def _swap(host: Runner) -> None:
    data.put_in_place(host, _NEW, _ASIDE)


def test_the_new_data_are_put_in_place_and_the_old_ones_aside(host: FakeEngine) -> None:
    _swap(host)
    assert host.volumes() == {MAIN: {"base": "new"}, _ASIDE: {"base": "old"}, _NEW: {}}


def test_a_host_without_data_gets_a_volume_as_compose_makes_it(tmp_path: Path) -> None:
    host = FakeEngine(tmp_path, {"docker rm": ""}, services=())
    host.volume(_NEW, base="new")
    data.put_in_place(host, _NEW, "")
    assert host.volumes() == {MAIN: {"base": "new"}, _NEW: {}}
    labels = json.loads(host.text(f"/var/lib/docker/volumes/{MAIN}/labels") or "")
    assert labels["com.docker.compose.volume"] == "postgres"
    data.remove_data(host, _STAMP, _NOTE)
    assert host.volumes() == {_GIVEN_UP: {"base": "new"}, _NEW: {}}


def test_a_swap_that_is_killed_anywhere_can_be_completed(tmp_path: Path) -> None:
    for host in deaths(_make, _swap, tmp_path):
        assert isinstance(host, FakeEngine)
        _swap(host)
        assert host.volumes() == {MAIN: {"base": "new"}, _ASIDE: {"base": "old"}, _NEW: {}}


def test_a_swap_that_is_killed_anywhere_can_be_undone(tmp_path: Path) -> None:
    for host in deaths(_make, _swap, tmp_path):
        assert isinstance(host, FakeEngine)
        is_swapped = host.volumes().get(MAIN) == {"base": "new"}
        data.take_back(host, _ASIDE, _STAMP, _NOTE)
        assert host.volumes()[MAIN] == {"base": "old"}
        assert host.given_up() == ({_GIVEN_UP: {"base": "new"}} if is_swapped else {})


def _make_swapped(directory: Path) -> FakeEngine:
    host = _make(directory)
    _swap(host)
    host.volume(MAIN, written="acknowledged")
    return host


def test_a_rollback_that_is_killed_anywhere_keeps_each_write_once(tmp_path: Path) -> None:
    def back(host: Runner) -> None:
        data.take_back(host, _ASIDE, _STAMP, _NOTE)

    for host in deaths(_make_swapped, back, tmp_path):
        assert isinstance(host, FakeEngine)
        back(host)
        assert host.volumes()[MAIN] == {"base": "old"}
        assert host.given_up() == {_GIVEN_UP: {"base": "new", "written": "acknowledged"}}


def test_data_that_are_given_up_a_second_time_get_another_name(tmp_path: Path) -> None:
    host = _make_swapped(tmp_path / "host")
    data.give_up(host, _STAMP, _NOTE)
    host.volume(MAIN, base="again")
    data.give_up(host, _STAMP, _NOTE)
    assert host.given_up().keys() == {_GIVEN_UP, f"{_GIVEN_UP}_2"}
    assert data.list_given_up(host, _STAMP)[0] == data.GivenUp(
        _GIVEN_UP, _SINCE, 3, ("infisical:1", "postgres:1")
    )


def test_nothing_moves_while_docker_does_not_list_volumes(host: FakeEngine) -> None:
    _swap(host)
    host.failing.append("docker volume")
    with pytest.raises(RuntimeError):
        data.take_back(host, _ASIDE, _STAMP, _NOTE)
    host.failing.clear()
    data.take_back(host, _ASIDE, _STAMP, _NOTE)
    assert host.volumes()[MAIN] == {"base": "old"}


def test_a_proven_change_removes_only_data_without_a_write(host: FakeEngine) -> None:
    for name, writes in {"0": "0", "some": "3", "unknown": "unknown"}.items():
        labels = {"infisical-iac.since": _SINCE, "infisical-iac.writes": writes}
        host.volume(f"{MAIN}_given_up_{name}", labels, base=name)
    gone, kept = data.forget_given_up(host)
    assert gone == [f"{MAIN}_given_up_0"]
    assert [each.writes for each in kept] == [3, None]
    assert host.given_up().keys() == {f"{MAIN}_given_up_{each}" for each in ("some", "unknown")}


@pytest.mark.parametrize(
    ("before", "answer", "writes"),
    [
        (f"postgres {STARTED}", None, "0"),
        ("postgres 2026-11-25T09:00:00Z", "42|0\n1\n", "43"),
        ("", "0|7\n0|1\n", "8"),
        ("", None, "unknown"),
    ],
    ids=["never started", "counted", "the clock was set back", "it does not answer"],
)
def test_writes_are_counted_where_possible(
    host: FakeEngine, before: str, answer: str | None, writes: str
) -> None:
    host.writes[0] = answer
    noted = data.count_writes(host, _SINCE, loaded="770", before=before)
    assert noted == WriteNote(_SINCE, writes, ("infisical:1", "postgres:1"))


def test_redis_is_emptied(host: FakeEngine) -> None:
    host.volume("infisical_redis", queue="old")
    host.path("/var/lib/docker/volumes/infisical_redis/_data/folder").mkdir()
    data.empty_redis(host)
    assert host.volumes()["infisical_redis"] == {}


def test_logs_are_kept_without_a_secret(host: FakeEngine) -> None:
    host.write("/etc/infisical/keys/auth_secret", "a logged line\n")
    data.keep_logs(host, "/kept.log")
    text = host.path("/kept.log").read_text()
    assert "== infisical infisical:1 running" in text
    assert "a logged line" not in text
