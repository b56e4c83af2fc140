"""Test how the snapshots that the host lists are read."""

from datetime import UTC, datetime

from infisical_iac.agent.backup import TargetSnapshots
from infisical_iac.backup.record import ListedSnapshots, Snapshot, read_snapshots

_TAGS = [
    "infisical-iac",
    "version=v0.165.16",
    "bytes=73537",
    "secrets=4",
    "migrations=18",
    "key=c3",
]


def _snapshot(id: str, time: str) -> dict[str, object]:
    return {"id": id * 8, "short_id": id, "time": time, "tags": _TAGS, "paths": ["/x"]}


def test_snapshots_of_each_target_are_sorted_by_time() -> None:
    listed = [
        _snapshot("bb", "2026-11-25T02:31:00.123456789Z"),
        _snapshot("aa", "2026-11-24T03:31:00.123456789+01:00"),
    ]
    found = read_snapshots([TargetSnapshots("local", listed), TargetSnapshots("box", [])])
    assert [each.name for each in found] == ["local", "box"]
    assert [each.id for each in found[0].snapshots] == ["aa", "bb"]
    at = datetime(2026, 11, 24, 2, 31, 0, 123456, tzinfo=UTC)
    assert found[0].snapshots[0] == Snapshot("aa", at, "v0.165.16", 73537, 4, 18, "c3")
    assert found[1] == ListedSnapshots("box")


def test_an_unreadable_target_is_listed_with_its_error() -> None:
    listed = [TargetSnapshots("box", [], error="connection refused")]
    assert read_snapshots(listed) == [ListedSnapshots("box", error="connection refused")]
