"""Test that each kind of transaction reaches an end wherever it is killed or the disk is full."""

import inspect
from pathlib import Path

import pytest

from infisical_iac.agent import transaction
from tests.unit.agent.kill_points import (
    Point,
    fill_everywhere,
    find_tests,
    kill_everywhere,
    list_points,
)

_KINDS = transaction._KINDS
_STORIES = [
    (kind, failing) for kind in _KINDS for failing in getattr(find_tests(kind), "FAILURES", ())
]


@pytest.mark.parametrize("kind", _KINDS)
def test_each_kind_of_transaction_is_killed_in_a_test(kind: str) -> None:
    tests = find_tests(kind)
    assert hasattr(tests, "kill_story") or "deaths(" in inspect.getsource(tests)


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _ in _STORIES))
def test_each_step_is_killed_in_both_ways(kind: str, tmp_path: Path) -> None:
    """The agent is killed after the step has begun, and, at the next one's begin, at its end."""
    found: set[Point] = set()
    missing = list_points(transaction.find(kind))
    for number, failing in enumerate(find_tests(kind).FAILURES):
        count = kill_everywhere(kind, failing, tmp_path / str(number))
        assert count.kills > len(count.points)
        found |= count.points
    assert missing - found == set()


@pytest.mark.parametrize(("kind", "failing"), _STORIES)
def test_a_full_disk_at_any_write_leads_to_an_end(kind: str, failing: str, tmp_path: Path) -> None:
    assert fill_everywhere(kind, failing, tmp_path).full_disks > 10
