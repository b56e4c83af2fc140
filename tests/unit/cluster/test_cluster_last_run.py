"""Test which node's last backup the status of a cluster tells, and which node's last drill."""

import json
from datetime import UTC, datetime

import pytest

from infisical_iac.cluster.model import NodeState
from infisical_iac.cluster.status import LastRun, backup, newest_row
from infisical_iac.core.item import Row
from infisical_iac.monitoring.condition import ConditionState
from tests.unit.settings_of import settings_of

_NONE = LastRun("", Row("Last backup", "none yet, 30 h after they were set up", ok=False))


def _backup(minute: int, **errors: str) -> LastRun:
    """A run of 02:<minute> UTC that was for these targets, each with its error."""
    targets = [{"name": name, "error": error} for name, error in errors.items()]
    failure = "; ".join(filter(None, errors.values()))
    record = json.dumps({"ended": f"2026-11-26T02:{minute:02}:00Z", "targets": targets})
    return LastRun(record, Row("Last backup", failure or "saved", ok=not failure))


def _drill(minute: int, target: str, failure: str = "") -> LastRun:
    record = json.dumps({"ended": f"2026-11-26T04:{minute:02}:00Z", "target": target})
    return LastRun(record, Row("Last drill", failure or "proven", ok=not failure))


def _told(*runs: LastRun, own: tuple[str, ...] = ("local",)) -> tuple[str, bool]:
    row = newest_row({f"s{n}": run for n, run in enumerate(runs, 1)}, own=own, shared=("bucket",))
    return row.text, row.ok


def test_where_all_are_well_the_newest_is_told() -> None:
    assert _told(_backup(30, local="", bucket=""), _backup(50, local="")) == ("s2: saved", True)
    assert _told(_drill(50, "bucket"), _drill(30, "local")) == ("s1: proven", True)


def test_a_failure_is_told_though_another_node_has_saved_for_itself_since() -> None:
    runs = _backup(30, local="", bucket="no answer"), _backup(50, local="")
    assert _told(*runs) == ("s1: no answer", False)
    assert _told(_drill(30, "local", "altered"), _drill(50, "bucket")) == ("s1: altered", False)


@pytest.mark.parametrize(
    ("failed", "since"),
    [
        (_backup(30, local="", bucket="no answer"), _backup(50, local="", bucket="")),
        (_drill(30, "bucket", "altered"), _drill(50, "bucket")),
    ],
)
def test_what_all_share_is_well_once_any_node_has_done_it_well(
    failed: LastRun, since: LastRun
) -> None:
    assert _told(failed, since)[1]
    assert _told(since, failed)[1]


def test_what_was_well_before_does_not_count() -> None:
    assert not _told(_backup(30, local="", bucket=""), _backup(50, local="", bucket="away"))[1]


def test_a_directory_is_the_nodes_own() -> None:
    runs = _backup(30, local="no space", bucket=""), _backup(50, local="", bucket="")
    assert _told(*runs) == ("s1: no space", False)


def test_a_node_that_has_made_none_in_its_own_is_told_by_its_name() -> None:
    assert _told(_backup(30, local=""), _NONE) == (f"s2: {_NONE.row.text}", False)


def test_one_node_saves_for_all_where_no_target_is_a_nodes_own() -> None:
    assert _told(_NONE, _backup(30, bucket=""), own=()) == ("s2: saved", True)
    assert not _told(_NONE, _NONE, own=())[1]


@pytest.mark.parametrize("record", ["{", "[]", '{"targets": [{}]}'])
def test_a_record_that_cannot_be_read_is_told(record: str) -> None:
    unread = LastRun(record, Row("Last backup", "unreadable", ok=False))
    assert _told(_backup(30, local=""), unread) == ("s2: unreadable", False)


_SINCE = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
_NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
_TARGETS = [
    {"name": "local", "repository": "/var/backups/infisical"},
    {"name": "bucket", "repository": "s3:https://s3.example.com/bucket/infisical"},
]


def _node(bucket: datetime | None) -> NodeState:
    """One that saved in its own directory last night, and in the bucket then."""
    saved = {"name": "local", "success": "2026-11-27T02:30:00Z", "snapshot": "ab", "error": ""}
    run = {"began": "2026-11-27T02:29:00Z", "ended": "2026-11-27T02:30:00Z", "failure": ""}
    record = {**run, "bytes": 1000, "targets": [{**saved, "added": 1, "snapshots": 1}]}
    times = {"bucket": bucket} if bucket else {}
    condition = ConditionState(backups_since=_SINCE, backups=json.dumps(record), saved=times)
    return NodeState(condition=condition, postgres="standby")


def _row(
    *buckets: datetime | None, away: tuple[str, ...] = (), now: datetime = _NOW
) -> tuple[str, bool]:
    nodes = {f"s{n}": _node(bucket) for n, bucket in enumerate(buckets, 1)}
    row = backup(nodes, away, settings_of(topology="swarm", backup_targets=_TARGETS), now)
    return row.text, row.ok


def test_a_shared_target_that_each_node_left_to_another_is_told() -> None:
    nights = [datetime(2026, 11, day, 2, 30, tzinfo=UTC) for day in (25, 26)]
    text, ok = _row(*nights, None)
    assert not ok
    assert " bucket since " in text
    assert " 2026-11-26T02:30:00Z; s" in text
    assert "without s3)" in _row(*nights, away=("s3",))[0]


def test_a_shared_target_that_one_of_them_has_saved_in_is_well() -> None:
    assert _row(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 27, 2, tzinfo=UTC))[1]


def test_a_shared_target_without_any_snapshot_is_waited_for_for_a_day() -> None:
    text, ok = _row(None, None)
    assert not ok
    assert "bucket yet;" in text
    assert _row(None, None, now=datetime(2026, 11, 2, 1, tzinfo=UTC))[1]
