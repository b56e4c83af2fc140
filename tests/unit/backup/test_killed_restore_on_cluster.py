"""Test that the old data come back after restore-cluster.sh is killed after any effect."""

from pathlib import Path

import pytest

from tests.unit.fake_cluster import FakeNode, make_node

_STATE = "/var/lib/infisical-restore/state"
_STAMP = "20261125T101112Z"
_OLD = "infisical_before_20261125t101112z"
_GIVEN_UP = "infisical_given_up_20261125t101112z"
_NEW = "infisical_restoring"
_KEY = "/etc/infisical/keys/encryption_key"
_FILES = {"/etc/infisical/workspace.json": "old", _KEY: "old"}
_BEGIN = ("restore-cluster", "begin", _STAMP)
_ASIDE = ("restore-cluster", "aside", "keys/encryption_key")
_LOAD, _SWAP = ("restore-cluster", "load"), ("restore-cluster", "swap")
_BACK, _FORGET = ("restore-cluster", "back"), ("restore-cluster", "forget")
_END = ("restore-cluster", "end")


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """The leader of a cluster with data and a fetched snapshot."""
    made = make_node(tmp_path, infisical="old")
    for path, text in _FILES.items():
        made.write(path, text)
    made.write("/var/lib/infisical-restore/fetched/workspace.json", "new")
    made.write("/var/lib/infisical-restore/fetched/database.dump", "new")
    return made


@pytest.fixture
def swapped_node(node: FakeNode) -> FakeNode:
    """The leader with the kit's key and the new data in place."""
    node.ok(_BEGIN, _ASIDE)
    node.write(_KEY, "new")
    node.ok(_LOAD, _SWAP)
    return node


def _undo(node: FakeNode) -> None:
    if node.read(_STATE):
        node.ok(_BACK, _FORGET)
    assert node.read(_STATE) is None


def _assert_old_state(node: FakeNode) -> None:
    databases = node.databases()
    assert databases["infisical"].startswith("old")
    assert databases.keys() - {_NEW, _GIVEN_UP} == {"infisical"}
    assert node.list_closed() == ""
    assert {path: node.read(path) for path in _FILES} == _FILES


def test_the_database_is_replaced_while_infisical_is_stopped(
    swapped_node: FakeNode,
) -> None:
    assert swapped_node.databases() == {"infisical": "new", _OLD: "old"}
    output = (swapped_node.read("/asked") or "").splitlines()
    assert output == ["infisical_infisical=0", "redis emptied"]
    assert swapped_node.list_closed() == ""
    assert swapped_node.read("/etc/infisical/workspace.json") == "new"


def test_a_restore_that_is_killed_is_undone_and_loses_no_write(node: FakeNode) -> None:
    deaths = node.deaths_of(_BEGIN, _ASIDE, _LOAD, _SWAP)
    assert deaths[-1].databases() == {"infisical": "new", _OLD: "old"}
    for each in deaths:
        wrote = each.read(_STATE) and "infisical" not in each.list_closed().split()
        if wrote:
            each.write("/databases/infisical", f"{each.databases()['infisical']} and a write")
            done = each.run(*_BACK)
            assert done.returncode == 0, done.stderr
            found = each.databases().items()
            (where,) = (name for name, text in found if text.endswith("and a write"))
            assert where == "infisical" or f"given-up {where} " in done.stdout
            # A repeated rollback reports that database too.
            assert each.run(*_BACK).stdout == done.stdout
        _undo(each)
        _assert_old_state(each)


def test_a_killed_rollback_is_completed(swapped_node: FakeNode) -> None:
    for each in swapped_node.deaths_of(_BACK, _FORGET):
        _undo(each)
        _assert_old_state(each)


def test_the_old_data_stay_aside_until_the_next_restore_is_proven(swapped_node: FakeNode) -> None:
    earlier = "infisical_before_20261001t101112z"
    swapped_node.write(f"/databases/{earlier}", "older")
    replaced = "replaced by a restore that was proven"
    swapped_node.write(f"/comments/{earlier}", replaced)
    assert swapped_node.run(*_END).stdout == f"database {_OLD}\n"
    assert swapped_node.databases() == {"infisical": "new", _OLD: "old"}
    assert swapped_node.read(f"/comments/{_OLD}") == f"{replaced}\n"


def test_a_database_left_by_another_change_is_reported_and_kept(swapped_node: FakeNode) -> None:
    """An upgrade by an earlier release moved later writes into a database with such a name."""
    left = "infisical_before_20261001t101112z"
    swapped_node.write(f"/databases/{left}", "and a write")
    output = swapped_node.run(*_END).stdout.splitlines()
    assert output == [f"given-up {left}", f"database {_OLD}"]
    assert swapped_node.databases()[left] == "and a write"


def test_a_restore_that_changed_no_data_is_undone_without_the_database(
    node: FakeNode,
) -> None:
    node.ok(_BEGIN, _ASIDE)
    node.write("/stopped", "")
    node.ok(_BACK, _FORGET)
    assert node.read(_STATE) is None


def test_a_swap_before_the_dump_is_loaded_is_refused(node: FakeNode) -> None:
    node.ok(_BEGIN)
    done = node.run(*_SWAP)
    assert (done.returncode, "no dump" in done.stderr) == (1, True)
    _undo(node)
    _assert_old_state(node)


def test_a_restore_without_a_standby_is_refused(node: FakeNode) -> None:
    node.write("/alone", "")
    node.program("sleep")
    node.ok(_BEGIN)
    done = node.run(*_LOAD)
    assert done.returncode == 1
    assert "no synchronous standby" in done.stderr
    assert node.databases() == {"infisical": "old"}
    _undo(node)
    _assert_old_state(node)
