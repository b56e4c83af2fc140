"""Test that no data are lost if upgrade-cluster.sh is killed after any of its effects."""

import re
from pathlib import Path

import pytest

from infisical_iac.agent.releases import RELEASES
from tests.unit.fake_cluster import FakeNode, make_node

_STATE = "/var/lib/infisical-upgrade/state"
_RELEASE = "20261125T101112Z-v0.165.16"
_OLD = "infisical_before_20261125t101112z"
_GIVEN_UP = "infisical_given_up_20261125t101112z"
_NEW = "infisical_restoring"
_BEGIN = ("upgrade-cluster", "begin", _RELEASE, "infisical/infisical:v0.166.0")
_PAUSE, _LOAD = ("upgrade-cluster", "pause"), ("upgrade-cluster", "load")
_SWAP, _ROLL = ("upgrade-cluster", "swap"), ("upgrade-cluster", "roll")
_BACK, _END = ("upgrade-cluster", "back"), ("upgrade-cluster", "end")
_REVERT = ("upgrade-cluster", "revert")


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """The leader of a cluster with an unfinished change and fetched data."""
    made = make_node(tmp_path, infisical="old")
    made.write("/etc/infisical/workspace.json", "old")
    made.write(f"{RELEASES}/{_RELEASE}/workspace.json", "old")
    made.write(f"{RELEASES}/{_RELEASE}/snapshot/database.dump", "old")
    made.write(f"{RELEASES}/{_RELEASE}/images", "infisical infisical/infisical:v0.165.16 sha\n")
    made.write("/var/lib/infisical-upgrade/fetched/database.dump", "new")
    made.write("/var/lib/infisical-upgrade/fetched/workspace.json", "new")
    made.ok(_BEGIN)
    return made


def _assert_old_state(node: FakeNode) -> None:
    databases = node.databases()
    assert databases["infisical"].startswith("old")
    assert databases.keys() - {_GIVEN_UP} == {"infisical"}
    assert node.list_closed() == ""
    assert node.read("/etc/infisical/workspace.json") == "old"
    assert node.read(_STATE) is None


def _write(node: FakeNode) -> bool:
    """Write to the database unless it is closed, and return whether it was open."""
    if "infisical" in node.list_closed().split():
        return False
    node.write("/databases/infisical", f"{node.databases()['infisical']} and a write")
    return True


def test_a_change_with_other_data_that_is_killed_is_undone_and_loses_no_write(
    node: FakeNode,
) -> None:
    deaths = node.deaths_of(_PAUSE, _LOAD, _SWAP)
    assert deaths[-1].databases() == {"infisical": "new", _OLD: "old"}
    assert (deaths[-1].read(_STATE) or "").split()[1] == "swapped"
    for each in deaths:
        wrote = _write(each)
        done = each.run(*_BACK)
        assert done.returncode == 0, done.stderr
        each.ok(_END)
        _assert_old_state(each)
        if wrote:
            found = each.databases().items()
            (where,) = (name for name, text in found if text.endswith("and a write"))
            assert where == "infisical" or f"given-up {where} " in done.stdout


def test_a_killed_rollback_is_completed_and_loses_no_write(node: FakeNode) -> None:
    node.ok(_PAUSE, _LOAD, _SWAP)
    _write(node)
    for each in node.deaths_of(_BACK, _END):
        again = _write(each)
        if each.read(_STATE):
            each.ok(_BACK, _END)
        _assert_old_state(each)
        written = [text.count("and a write") for text in each.databases().values()]
        assert sum(written) == 1 + again
        assert "a logged line" in (each.read(f"{RELEASES}/{_RELEASE}/failed.log") or "")


def test_an_end_that_is_killed_keeps_the_new_data(node: FakeNode) -> None:
    node.ok(_PAUSE, _LOAD, _SWAP)
    for each in node.deaths_of(_END):
        if each.read(_STATE):
            each.ok(_END)
        assert each.databases() == {"infisical": "new"}
        assert each.read("/etc/infisical/workspace.json") == "new"


def test_a_roll_out_stops_no_service_and_keeps_the_data(node: FakeNode) -> None:
    node.ok(_ROLL, _END)
    assert node.read("/asked") is None
    assert node.databases() == {"infisical": "old"}
    assert node.read(f"{RELEASES}/{_RELEASE}/snapshot/database.dump") == "old"


def test_data_that_the_old_version_cannot_use_are_given_up(node: FakeNode) -> None:
    node.ok(_ROLL, _BACK, _LOAD)
    said = node.run(*_REVERT).stdout
    assert said == f"given-up {_GIVEN_UP} 2026-11-25T10:11:12Z 42 id@sha256:1\n"
    # A run that continues after an interruption here gets the same output.
    assert node.run(*_BACK).stdout == said
    node.ok(_END)
    assert node.databases() == {"infisical": "new", _GIVEN_UP: "old"}


@pytest.mark.parametrize(("mute", "writes"), [(False, "42"), (True, "unknown")])
def test_writes_since_the_swap_are_counted_where_possible(
    node: FakeNode, mute: bool, writes: str
) -> None:
    node.ok(_PAUSE, _LOAD, _SWAP)
    if mute:
        node.write("/mute", "")
    said = node.run(*_BACK).stdout
    assert re.fullmatch(rf"given-up {_GIVEN_UP} 20\d\d-\S+Z {writes} id@sha256:1\n", said)
    # A repeated rollback reports the database too.
    assert node.run(*_BACK).stdout == said


@pytest.mark.parametrize("phase", ["backing", "back"])
def test_a_rollback_begun_by_an_earlier_version_is_completed(node: FakeNode, phase: str) -> None:
    """The earlier version had dropped the new database, and was about to rename the old one."""
    node.ok(_PAUSE, _LOAD, _SWAP)
    node.remove("/var/lib/infisical-upgrade/exchanged")
    node.write(_STATE, f"{_RELEASE} {phase} infisical/infisical:v0.166.0\n")
    node.remove("/databases/infisical")
    node.ok(_BACK, _END)
    _assert_old_state(node)
    assert node.databases_given_up() == {}


def test_a_proven_change_has_no_rollback(node: FakeNode) -> None:
    node.ok(_PAUSE, _LOAD, _SWAP)
    node.write(_STATE, f"{_RELEASE} proven infisical/infisical:v0.166.0\n")
    done = node.run(*_BACK)
    assert (done.returncode, "can't be undone" in done.stderr) == (1, True)
    assert node.databases()["infisical"] == "new"


def test_a_proven_change_drops_data_without_writes(node: FakeNode) -> None:
    for name, note in {"0": "2026 0 image", "some": "2026 3 image"}.items():
        node.write(f"/databases/infisical_given_up_{name}", name)
        node.write(f"/comments/infisical_given_up_{name}", note)
    node.write("/databases/infisical_given_up_x", "of nobody knows what")
    node.ok(_ROLL)
    assert [line.split() for line in node.run(*_END).stdout.splitlines()] == [
        ["removed", "infisical_given_up_0"],
        ["given-up", "infisical_given_up_some", "2026", "3", "image"],
        ["given-up", "infisical_given_up_x", "unknown", "unknown"],
    ]
    assert node.databases_given_up().keys() == {
        f"infisical_given_up_{each}" for each in ("some", "x")
    }


def test_transaction_ids_of_the_data_are_kept_until_the_change_has_ended(
    node: FakeNode,
) -> None:
    """Unlike the clock of a host, transaction ids only grow."""
    notes = [f"/var/lib/infisical-upgrade/{each}" for each in ("begun", "loaded")]
    assert [node.read(each) for each in notes] == ["770\n", None]
    node.ok(_PAUSE, _LOAD, _SWAP)
    assert [node.read(each) for each in notes] == ["770\n"] * 2
    node.ok(_BACK, _END)
    assert [node.read(each) for each in notes] == [None] * 2


def test_exchanged_data_are_reported_until_the_change_has_ended(node: FakeNode) -> None:
    exchanged = ("upgrade-cluster", "exchanged")
    assert node.run(*exchanged).stdout == ""
    node.ok(_PAUSE, _LOAD, _SWAP)
    assert node.run(*exchanged).stdout == "yes\n"
    node.ok(_END, _BEGIN)
    assert node.run(*exchanged).stdout == ""


def test_a_dump_with_deleted_secrets_is_kept_after_the_rollback(node: FakeNode) -> None:
    dump = f"{RELEASES}/{_RELEASE}/snapshot/database.dump"
    node.ok(_ROLL, _BACK, ("upgrade-cluster", "keep"), _END)
    assert node.read(dump) == "old"
    node.ok(_BEGIN, _ROLL, _BACK)
    node.remove(f"{RELEASES}/{_RELEASE}/kept")
    node.ok(_END)
    assert node.read(dump) is None


def test_a_revert_that_is_killed_leaves_an_open_database_and_the_old_data(node: FakeNode) -> None:
    node.ok(_ROLL, _BACK, _LOAD)
    for each in node.deaths_of(_REVERT):
        each.ok(_BACK, _END)
        assert each.databases()["infisical"] in ("old", "new")
        assert "old" in each.databases().values()
        assert "infisical" not in each.list_closed().split()
