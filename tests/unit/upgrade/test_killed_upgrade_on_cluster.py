"""upgrade-cluster.sh killed after each of its effects: the data are in one place or the other."""

from pathlib import Path

import pytest

from infisical_iac.upgrade import RELEASES
from tests.unit.played_cluster import PlayedNode, played_node

_STATE = "/var/lib/infisical-upgrade/state"
_RELEASE = "20261125T101112Z-v0.165.16"
_OLD = "infisical_before_20261125t101112z"
_NEW = "infisical_restoring"
_BEGIN = ("upgrade-cluster", "begin", _RELEASE, "infisical/infisical:v0.166.0")
_PAUSE, _LOAD = ("upgrade-cluster", "pause"), ("upgrade-cluster", "load")
_SWAP, _ROLL = ("upgrade-cluster", "swap"), ("upgrade-cluster", "roll")
_BACK, _END = ("upgrade-cluster", "back"), ("upgrade-cluster", "end")
_REVERT = ("upgrade-cluster", "revert")


@pytest.fixture
def node(tmp_path: Path) -> PlayedNode:
    """The lead of a cluster on which a change has begun whose data are fetched."""
    made = played_node(tmp_path, infisical="old")
    made.write("/etc/infisical/workspace.json", "old")
    made.write(f"{RELEASES}/{_RELEASE}/workspace.json", "old")
    made.write(f"{RELEASES}/{_RELEASE}/snapshot/database.dump", "old")
    made.write(f"{RELEASES}/{_RELEASE}/images", "infisical infisical/infisical:v0.165.16 sha\n")
    made.write("/var/lib/infisical-upgrade/fetched/database.dump", "new")
    made.write("/var/lib/infisical-upgrade/fetched/workspace.json", "new")
    made.ok(_BEGIN)
    return made


def _is_as_before(node: PlayedNode) -> None:
    assert node.databases() == {"infisical": "old"}
    assert node.closed() == ""
    assert node.read("/etc/infisical/workspace.json") == "old"
    assert node.read(_STATE) is None


def test_a_change_with_other_data_that_is_killed_is_undone(node: PlayedNode) -> None:
    deaths = node.deaths_of(_PAUSE, _LOAD, _SWAP)
    assert deaths[-1].databases() == {"infisical": "new", _OLD: "old"}
    assert (deaths[-1].read(_STATE) or "").split()[1] == "swapped"
    for each in deaths:
        each.ok(_BACK, _END)
        _is_as_before(each)


def test_a_way_back_that_is_killed_is_gone_to_its_end(node: PlayedNode) -> None:
    node.ok(_PAUSE, _LOAD, _SWAP)
    for each in node.deaths_of(_BACK, _END):
        if each.read(_STATE):
            each.ok(_BACK, _END)
        _is_as_before(each)
        assert "a line of its log" in (each.read(f"{RELEASES}/{_RELEASE}/failed.log") or "")


def test_an_end_that_is_killed_keeps_the_new_data(node: PlayedNode) -> None:
    node.ok(_PAUSE, _LOAD, _SWAP)
    for each in node.deaths_of(_END):
        if each.read(_STATE):
            each.ok(_END)
        assert each.databases() == {"infisical": "new"}
        assert each.read("/etc/infisical/workspace.json") == "new"


def test_a_roll_out_stops_nobody_and_leaves_the_data(node: PlayedNode) -> None:
    node.ok(_ROLL, _END)
    assert node.read("/told") is None
    assert node.databases() == {"infisical": "old"}
    assert node.read(f"{RELEASES}/{_RELEASE}/snapshot/database.dump") == "old"


def test_data_that_the_old_version_can_not_use_move_aside(node: PlayedNode) -> None:
    node.ok(_ROLL, _BACK, _LOAD)
    (aside,) = node.run(*_REVERT).stdout.split()
    node.ok(_END)
    assert node.databases() == {"infisical": "new", aside: "old"}


def test_a_dump_that_has_what_is_gone_outlives_the_way_back(node: PlayedNode) -> None:
    dump = f"{RELEASES}/{_RELEASE}/snapshot/database.dump"
    node.ok(_ROLL, _BACK, ("upgrade-cluster", "keep"), _END)
    assert node.read(dump) == "old"
    node.ok(_BEGIN, _ROLL, _BACK)
    node.remove(f"{RELEASES}/{_RELEASE}/kept")
    node.ok(_END)
    assert node.read(dump) is None


def test_a_revert_that_is_killed_leaves_data_that_serve(node: PlayedNode) -> None:
    node.ok(_ROLL, _BACK, _LOAD)
    for each in node.deaths_of(_REVERT):
        each.ok(_BACK, _END)
        assert each.databases()["infisical"] in ("old", "new")
        assert "old" in each.databases().values()
        assert "infisical" not in each.closed().split()
