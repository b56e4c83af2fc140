"""scale-out.sh and scale-in.sh killed after each of their effects: one side has all."""

import re
from pathlib import Path

import pytest

from tests.unit.played_cluster import played_node
from tests.unit.played_host import MAIN, PlayedHost, played

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
def alone(tmp_path: Path) -> PlayedHost:
    """A single host whose move into a cluster has begun."""
    made = played(tmp_path)
    made.write(_COMPOSE, "alone")
    made.write("/etc/infisical/keys/postgres_password", "obviously-fake")
    made.volume(MAIN, base="old")
    made.ok(("scale-out", "begin", _STAMP, "out"))
    return made


@pytest.fixture
def together(tmp_path: Path) -> PlayedHost:
    """The lead of a cluster whose data are loaded beside it, with those of earlier days."""
    made = played(tmp_path)
    made.write("/etc/infisical/stack.yaml", "together")
    made.write("/etc/infisical/keys/postgres_password", "obviously-fake")
    made.write(_ASIDE, "alone")
    made.volume(MAIN, base="of earlier days")
    made.volume(_NEW, base="new")
    made.ok(("scale-in", "begin", _STAMP, "in"))
    return made


def test_a_move_into_a_cluster_that_is_killed_leaves_the_single_host_what_it_had(
    alone: PlayedHost,
) -> None:
    deaths = alone.deaths(_OUT["pause"], _OUT["switch"])
    assert (deaths[-1].read(_STATE) or "").split() == [_STAMP, "out", "switched"]
    for each in deaths:
        each.ok(_OUT["back"], _OUT["end"])
        assert each.read(_COMPOSE) == "alone"
        assert each.volumes() == {MAIN: {"base": "old"}}
        assert each.read(_STATE) is None


def test_what_the_cluster_was_given_is_counted_and_told_where_it_is(tmp_path: Path) -> None:
    """It is known still when the next move gives the database up."""
    node = played_node(tmp_path, infisical="empty", infisical_restoring="moved")
    node.write(_COMPOSE, "alone")
    node.ok(("scale-out", "begin", _STAMP, "out"), _OUT["pause"], _OUT["switch"])
    told = r"20\d\d-\S+Z 42 id"
    said = node.run(*_OUT["back"]).stdout
    assert re.fullmatch(rf"given-up infisical {told}\n", said)
    assert node.run(*_OUT["back"]).stdout == said
    node.ok(_OUT["end"])
    assert node.databases()["infisical"] == "moved"

    node.write("/databases/infisical_restoring", "moved again")
    node.ok(("scale-out", "begin", "20261126T111213Z", "out"), _OUT["pause"], _OUT["switch"])
    aside = "infisical_given_up_20261126t111213z"
    said = node.run(*_OUT["end"]).stdout
    assert re.search(rf"^given-up {aside} {told}$", said, re.MULTILINE)
    assert node.databases()[aside] == "moved"


def test_a_move_that_is_undone_before_the_databases_change_places_tells_of_no_write(
    tmp_path: Path,
) -> None:
    node = played_node(tmp_path, infisical="empty", infisical_restoring="moved")
    node.write(_COMPOSE, "alone")
    node.ok(("scale-out", "begin", _STAMP, "out"), _OUT["pause"])
    node.write(_STATE, f"{_STAMP} out switching\n")
    assert node.run(*_OUT["back"]).stdout == ""


def test_a_move_into_a_cluster_keeps_volume_and_compose_file(alone: PlayedHost) -> None:
    alone.ok(_OUT["pause"], _OUT["switch"])
    done = alone.run(*_OUT["end"])
    # The fake database reports tables, as a cluster's would that was written to.
    database = "database infisical_before_20261126t101112z"
    kept = [database, f"volume {MAIN}", _host_path(alone, _ASIDE)]
    assert done.stdout.splitlines() == kept
    assert alone.read(_COMPOSE) is None
    assert alone.read(_ASIDE) == "alone"
    assert alone.volumes() == {MAIN: {"base": "old"}}


def test_a_move_out_of_a_cluster_that_is_killed_is_undone(together: PlayedHost) -> None:
    for each in together.deaths(_IN["pause"], _IN["switch"]):
        each.ok(_IN["back"], _IN["end"])
        assert each.read(_COMPOSE) is None
        assert each.volumes()[MAIN] == {"base": "of earlier days"}
        assert each.read(_STATE) is None


def test_a_way_back_that_is_killed_is_gone_to_its_end(together: PlayedHost) -> None:
    together.ok(_IN["pause"], _IN["switch"])
    for each in together.deaths(_IN["back"], _IN["end"]):
        if each.read(_STATE):
            each.ok(_IN["back"], _IN["end"])
        assert each.volumes()[MAIN] == {"base": "of earlier days"}


def test_what_took_over_is_kept_when_it_is_undone(together: PlayedHost) -> None:
    together.ok(_IN["pause"], _IN["switch"])
    for each in together.deaths(_IN["back"], _IN["end"]):
        if each.read(_STATE):
            each.ok(_IN["back"], _IN["end"])
        volumes = each.volumes()
        assert volumes[MAIN] == {"base": "of earlier days"}
        assert volumes[f"{MAIN}_given_up_{_STAMP}"] == {"base": "new"}


def test_a_move_out_of_a_cluster_puts_the_old_data_aside(together: PlayedHost) -> None:
    together.ok(_IN["pause"], _IN["switch"], _IN["proven"])
    done = together.run(*_IN["end"])
    aside = f"{MAIN}_before_{_STAMP}"
    assert done.stdout.splitlines() == [f"volume {aside}"]
    assert together.read(_COMPOSE) == "alone"
    assert together.volumes()[MAIN] == {"base": "new"}
    assert together.volumes()[aside] == {"base": "of earlier days"}


def test_a_host_that_had_no_data_of_its_own_has_none_after_the_way_back(
    together: PlayedHost,
) -> None:
    together.ok(("scale-in", "back"), ("scale-in", "end"))
    for file in (together.directory / "volumes" / MAIN / "_data").glob("*"):
        file.unlink()
    (together.directory / "volumes" / MAIN / "_data").rmdir()
    (together.directory / "volumes" / MAIN).rmdir()
    together.ok(("scale-in", "begin", _STAMP, "in"), _IN["pause"], _IN["switch"])
    assert together.volumes()[MAIN] == {"base": "new"}
    together.ok(_IN["back"], _IN["end"])
    assert MAIN not in together.volumes()


def test_a_move_out_of_a_cluster_ends_when_it_is_proven_and_has_no_way_back_then(
    together: PlayedHost,
) -> None:
    together.ok(_IN["pause"], _IN["switch"])
    done = together.run(*_IN["end"])
    assert done.returncode == 1
    assert " switched, " in done.stderr
    together.ok(_IN["proven"], _IN["proven"])
    done = together.run(*_IN["back"])
    assert done.returncode == 1
    assert "can't be undone" in done.stderr
    assert together.volumes()[MAIN] == {"base": "new"}


def test_no_second_move_begins_beside_one(alone: PlayedHost) -> None:
    done = alone.run("scale-out", "begin", "20261126T111213Z", "out")
    assert done.returncode == 1
    assert "another migration" in done.stderr


def test_what_is_no_single_host_moves_into_no_cluster(together: PlayedHost) -> None:
    together.ok(_IN["back"], _IN["end"])
    begin = ("scale-out", "begin", _STAMP, "out")
    assert "no Infisical" in together.run(*begin).stderr
    together.write(_COMPOSE, "left over")
    assert "from the cluster already" in together.run(*begin).stderr
    assert together.read(_STATE) is None


def test_what_is_no_cluster_moves_to_no_single_host(alone: PlayedHost) -> None:
    alone.ok(_OUT["back"], _OUT["end"])
    done = alone.run("scale-in", "begin", _STAMP, "in")
    no_cluster = "Infisical does not serve from a cluster that this host leads"
    assert (done.returncode, done.stderr.strip()) == (1, no_cluster)
    assert alone.read(_STATE) is None


def _host_path(host: PlayedHost, path: str) -> str:
    return f"{host.directory}{path}"
