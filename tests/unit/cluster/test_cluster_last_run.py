"""Test which node's last backup and last drill the status of a cluster shows."""

import json
from datetime import UTC, datetime

import pytest

from infisical_iac.agent.health import HealthFacts
from infisical_iac.cluster.model import NodeState
from infisical_iac.cluster.status import LastRun, backup, newest_row
from infisical_iac.core.change import Row
from infisical_iac.monitoring.health import HealthState
from tests.unit.settings_of import settings_of

_NONE = LastRun("", Row("Last backup", "none yet, 30 h after they were set up", ok=False))


def _backup(minute: int, **errors: str) -> LastRun:
    """Return a backup of 02:<minute> UTC for the given targets, each with its error."""
    targets = [{"name": name, "error": error} for name, error in errors.items()]
    failure = "; ".join(filter(None, errors.values()))
    record = json.dumps({"ended": f"2026-11-26T02:{minute:02}:00Z", "targets": targets})
    return LastRun(record, Row("Last backup", failure or "saved", ok=not failure))


def _drill(minute: int, target: str, failure: str = "") -> LastRun:
    record = json.dumps({"ended": f"2026-11-26T04:{minute:02}:00Z", "target": target})
    return LastRun(record, Row("Last drill", failure or "proven", ok=not failure))


def _newest(*runs: LastRun, own: tuple[str, ...] = ("local",)) -> tuple[str, bool]:
    row = newest_row({f"s{n}": run for n, run in enumerate(runs, 1)}, own=own, shared=("bucket",))
    return row.text, row.ok


def test_the_newest_run_is_shown_if_all_are_healthy() -> None:
    assert _newest(_backup(30, local="", bucket=""), _backup(50, local="")) == ("s2: saved", True)
    assert _newest(_drill(50, "bucket"), _drill(30, "local")) == ("s1: proven", True)


def test_a_failure_is_shown_although_another_node_saved_its_own_data_later() -> None:
    runs = _backup(30, local="", bucket="no answer"), _backup(50, local="")
    assert _newest(*runs) == ("s1: no answer", False)
    assert _newest(_drill(30, "local", "altered"), _drill(50, "bucket")) == ("s1: altered", False)


@pytest.mark.parametrize(
    ("failed", "since"),
    [
        (_backup(30, local="", bucket="no answer"), _backup(50, local="", bucket="")),
        (_drill(30, "bucket", "altered"), _drill(50, "bucket")),
    ],
)
def test_a_shared_target_is_healthy_once_any_node_succeeded(
    failed: LastRun, since: LastRun
) -> None:
    assert _newest(failed, since)[1]
    assert _newest(since, failed)[1]


def test_an_earlier_success_does_not_hide_a_failure() -> None:
    assert not _newest(_backup(30, local="", bucket=""), _backup(50, local="", bucket="away"))[1]


def test_a_success_of_another_node_does_not_hide_a_failure_in_a_nodes_own_directory() -> None:
    runs = _backup(30, local="no space", bucket=""), _backup(50, local="", bucket="")
    assert _newest(*runs) == ("s1: no space", False)


def test_a_node_without_a_run_in_its_own_directory_is_named() -> None:
    assert _newest(_backup(30, local=""), _NONE) == (f"s2: {_NONE.row.text}", False)


def test_one_nodes_backup_is_enough_if_all_targets_are_shared() -> None:
    assert _newest(_NONE, _backup(30, bucket=""), own=()) == ("s2: saved", True)
    assert not _newest(_NONE, _NONE, own=())[1]


@pytest.mark.parametrize("record", ["{", "[]", '{"targets": [{}]}'])
def test_an_unreadable_record_is_shown(record: str) -> None:
    unread = LastRun(record, Row("Last backup", "unreadable", ok=False))
    assert _newest(_backup(30, local=""), unread) == ("s2: unreadable", False)


_SINCE = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
_NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
_TARGETS = [
    {"name": "local", "repository": "/var/backups/infisical"},
    {"name": "bucket", "repository": "s3:https://s3.example.com/bucket/infisical"},
]


def _node(bucket: datetime | None) -> NodeState:
    """Return a node that saved in its own directory last night, and in the bucket at `bucket`."""
    saved = {"name": "local", "success": "2026-11-27T02:30:00Z", "snapshot": "ab", "error": ""}
    run = {"began": "2026-11-27T02:29:00Z", "ended": "2026-11-27T02:30:00Z", "failure": ""}
    record = {**run, "bytes": 1000, "targets": [{**saved, "added": 1, "snapshots": 1}]}
    times = {"bucket": int(bucket.timestamp())} if bucket else {}
    facts = HealthFacts(backups_since=_SINCE, backups=json.dumps(record), saved=times)
    return NodeState(health=HealthState(facts), postgres="standby")


def _row(
    *buckets: datetime | None, away: tuple[str, ...] = (), now: datetime = _NOW
) -> tuple[str, bool]:
    nodes = {f"s{n}": _node(bucket) for n, bucket in enumerate(buckets, 1)}
    row = backup(nodes, away, settings_of(topology="swarm", backup_targets=_TARGETS), now)
    return row.text, row.ok


def test_a_shared_target_that_no_node_saved_to_is_reported() -> None:
    nights = [datetime(2026, 11, day, 2, 30, tzinfo=UTC) for day in (25, 26)]
    text, ok = _row(*nights, None)
    assert not ok
    assert " bucket since " in text
    assert " 2026-11-26T02:30:00Z; s" in text
    assert "without s3)" in _row(*nights, away=("s3",))[0]


def test_a_shared_target_with_a_backup_of_one_node_is_healthy() -> None:
    assert _row(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 27, 2, tzinfo=UTC))[1]


def test_a_shared_target_without_snapshots_is_healthy_for_a_day() -> None:
    text, ok = _row(None, None)
    assert not ok
    assert "bucket yet;" in text
    assert _row(None, None, now=datetime(2026, 11, 2, 1, tzinfo=UTC))[1]
