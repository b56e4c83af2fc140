"""Test that scale-out.sh and scale-in.sh, killed after any effect, leave all data on one side."""

import re
from pathlib import Path

import pytest

from tests.unit.fake_cluster import make_node
from tests.unit.fake_host import MAIN, FakeHost, make_host

_STATE = "/var/lib/infisical-scale/state"
_COMPOSE = "/etc/infisical/compose.yaml"
_ASIDE = "/var/lib/infisical-scale/compose.yaml"
_STAMP = "20261126T101112Z"
_NEW = "infisical-scale_postgres"
_OUT = {name: ("scale-out", name) for name in ("pause", "switch", "back", "end")}
_IN = {name: ("scale-in", name) for name in ("pause", "proven", "back", "end")} | {
    "switch": ("scale-in", "switch", _NEW)
}


@pytest.fixture
def single_host(tmp_path: Path) -> FakeHost:
    """A single host whose scale-out has begun."""
    made = make_host(tmp_path)
    made.write(_COMPOSE, "single")
    made.write("/etc/infisical/keys/postgres_password", "obviously-fake")
    made.volume(MAIN, base="old")
    made.ok(("scale-out", "begin", _STAMP, "out"))
    return made


@pytest.fixture
def cluster_leader(tmp_path: Path) -> FakeHost:
    """A leader with loaded data for a scale-in, next to data of an earlier single host."""
    made = make_host(tmp_path)
    made.write("/etc/infisical/stack.yaml", "stack")
    made.write("/etc/infisical/keys/postgres_password", "obviously-fake")
    made.write(_ASIDE, "single")
    made.volume(MAIN, base="of earlier days")
    made.volume(_NEW, base="new")
    made.ok(("scale-in", "begin", _STAMP, "in"))
    return made


def test_a_killed_scale_out_leaves_the_single_host_its_data(
    single_host: FakeHost,
) -> None:
    deaths = single_host.deaths(_OUT["pause"], _OUT["switch"])
    assert (deaths[-1].read(_STATE) or "").split() == [_STAMP, "out", "switched"]
    for each in deaths:
        each.ok(_OUT["back"], _OUT["end"])
        assert each.read(_COMPOSE) == "single"
        assert each.volumes() == {MAIN: {"base": "old"}}
        assert each.read(_STATE) is None


def test_writes_to_the_cluster_are_counted_and_located(tmp_path: Path) -> None:
    """The number is still known when the next scale-out renames the database."""
    node = make_node(tmp_path, infisical="empty", infisical_restoring="moved")
    node.write(_COMPOSE, "single")
    node.ok(("scale-out", "begin", _STAMP, "out"), _OUT["pause"], _OUT["switch"])
    output = r"20\d\d-\S+Z 42 id@sha256:1"
    said = node.run(*_OUT["back"]).stdout
    assert re.fullmatch(rf"given-up infisical {output}\n", said)
    assert node.run(*_OUT["back"]).stdout == said
    node.ok(_OUT["end"])
    assert node.databases()["infisical"] == "moved"

    node.write("/databases/infisical_restoring", "moved again")
    node.ok(("scale-out", "begin", "20261126T111213Z", "out"), _OUT["pause"], _OUT["switch"])
    aside = "infisical_given_up_20261126t111213z"
    said = node.run(*_OUT["end"]).stdout
    assert re.search(rf"^given-up {aside} {output}$", said, re.MULTILINE)
    assert node.databases()[aside] == "moved"


def test_a_scale_out_undone_before_the_switch_reports_no_writes(
    tmp_path: Path,
) -> None:
    node = make_node(tmp_path, infisical="empty", infisical_restoring="moved")
    node.write(_COMPOSE, "single")
    node.ok(("scale-out", "begin", _STAMP, "out"), _OUT["pause"])
    node.write(_STATE, f"{_STAMP} out switching\n")
    assert node.run(*_OUT["back"]).stdout == ""


def test_a_scale_out_keeps_volume_and_compose_file(single_host: FakeHost) -> None:
    single_host.ok(_OUT["pause"], _OUT["switch"])
    done = single_host.run(*_OUT["end"])
    # The fake database reports tables, like the database of a cluster with writes.
    database = "database infisical_before_20261126t101112z"
    kept = [database, f"volume {MAIN}", _host_path(single_host, _ASIDE)]
    assert done.stdout.splitlines() == kept
    assert single_host.read(_COMPOSE) is None
    assert single_host.read(_ASIDE) == "single"
    assert single_host.volumes() == {MAIN: {"base": "old"}}


def test_a_killed_scale_in_is_undone(cluster_leader: FakeHost) -> None:
    for each in cluster_leader.deaths(_IN["pause"], _IN["switch"]):
        each.ok(_IN["back"], _IN["end"])
        assert each.read(_COMPOSE) is None
        assert each.volumes()[MAIN] == {"base": "of earlier days"}
        assert each.read(_STATE) is None


def test_a_killed_rollback_is_completed(cluster_leader: FakeHost) -> None:
    cluster_leader.ok(_IN["pause"], _IN["switch"])
    for each in cluster_leader.deaths(_IN["back"], _IN["end"]):
        if each.read(_STATE):
            each.ok(_IN["back"], _IN["end"])
        assert each.volumes()[MAIN] == {"base": "of earlier days"}


def test_data_of_an_undone_scale_in_are_kept(cluster_leader: FakeHost) -> None:
    cluster_leader.ok(_IN["pause"], _IN["switch"])
    for each in cluster_leader.deaths(_IN["back"], _IN["end"]):
        if each.read(_STATE):
            each.ok(_IN["back"], _IN["end"])
        volumes = each.volumes()
        assert volumes[MAIN] == {"base": "of earlier days"}
        assert volumes[f"{MAIN}_given_up_{_STAMP}"] == {"base": "new"}


def test_a_scale_in_sets_the_old_data_aside(cluster_leader: FakeHost) -> None:
    cluster_leader.ok(_IN["pause"], _IN["switch"], _IN["proven"])
    done = cluster_leader.run(*_IN["end"])
    aside = f"{MAIN}_before_{_STAMP}"
    assert done.stdout.splitlines() == [f"volume {aside}"]
    assert cluster_leader.read(_COMPOSE) == "single"
    assert cluster_leader.volumes()[MAIN] == {"base": "new"}
    assert cluster_leader.volumes()[aside] == {"base": "of earlier days"}


def test_a_host_without_data_has_none_after_a_rollback(
    cluster_leader: FakeHost,
) -> None:
    cluster_leader.ok(("scale-in", "back"), ("scale-in", "end"))
    for file in (cluster_leader.directory / "volumes" / MAIN / "_data").glob("*"):
        file.unlink()
    (cluster_leader.directory / "volumes" / MAIN / "_data").rmdir()
    (cluster_leader.directory / "volumes" / MAIN).rmdir()
    cluster_leader.ok(("scale-in", "begin", _STAMP, "in"), _IN["pause"], _IN["switch"])
    assert cluster_leader.volumes()[MAIN] == {"base": "new"}
    cluster_leader.ok(_IN["back"], _IN["end"])
    assert MAIN not in cluster_leader.volumes()


def test_a_proven_scale_in_ends_and_cannot_be_rolled_back(
    cluster_leader: FakeHost,
) -> None:
    cluster_leader.ok(_IN["pause"], _IN["switch"])
    done = cluster_leader.run(*_IN["end"])
    assert done.returncode == 1
    assert " switched, " in done.stderr
    cluster_leader.ok(_IN["proven"], _IN["proven"])
    done = cluster_leader.run(*_IN["back"])
    assert done.returncode == 1
    assert "can't be undone" in done.stderr
    assert cluster_leader.volumes()[MAIN] == {"base": "new"}


def test_a_second_migration_is_refused_during_the_first(single_host: FakeHost) -> None:
    done = single_host.run("scale-out", "begin", "20261126T111213Z", "out")
    assert done.returncode == 1
    assert "another migration" in done.stderr


def test_scale_out_needs_a_single_host(cluster_leader: FakeHost) -> None:
    cluster_leader.ok(_IN["back"], _IN["end"])
    begin = ("scale-out", "begin", _STAMP, "out")
    assert "no Infisical" in cluster_leader.run(*begin).stderr
    cluster_leader.write(_COMPOSE, "left over")
    assert "from the cluster already" in cluster_leader.run(*begin).stderr
    assert cluster_leader.read(_STATE) is None


def test_scale_in_needs_a_cluster(single_host: FakeHost) -> None:
    single_host.ok(_OUT["back"], _OUT["end"])
    done = single_host.run("scale-in", "begin", _STAMP, "in")
    assert done.returncode == 1
    assert "not serve from a " in done.stderr
    assert single_host.read(_STATE) is None


def _host_path(host: FakeHost, path: str) -> str:
    return f"{host.directory}{path}"
