"""Test that the audit and access logs of several hosts are merged."""

from typing import Any

from infisical_iac.agent.access import FoundRequest, FoundRequests
from infisical_iac.core.audit_entries import AuditEntry, Log, merge_runs
from infisical_iac.stack.access_log import latest


def _entry(
    run: str, outcome: Any, at: str, changes: list[str] | None = None, why: str = ""
) -> AuditEntry:
    moment = f"2026-11-25T11:{at}Z"
    return AuditEntry(moment, "ada@laptop", "apply", outcome, run, "abc123", changes or [], why)


def test_changes_on_all_hosts_are_merged_and_others_name_their_host() -> None:
    same = [_entry("1", "begun", "00:00"), _entry("1", "done", "00:09", ["+ package curl"])]
    more = [_entry("1", "begun", "00:01"), _entry("1", "done", "00:08", ["+ package curl", "~ b"])]
    (run,) = merge_runs({"one": Log(same), "two": Log(more), "three": Log(same)})
    assert (run.began, run.last.at) == ("2026-11-25T11:00:00Z", "2026-11-25T11:00:09Z")
    assert run.last.changes == ["+ package curl", "two: ~ b"]


def test_a_change_on_one_host_names_the_host() -> None:
    done = [_entry("1", "done", "00:00", ["~ file"])]
    (run,) = merge_runs({"one": Log([]), "two": Log(done), "three": Log([])})
    assert run.last.changes == ["two: ~ file"]


def test_a_run_has_the_worst_result_of_its_hosts() -> None:
    done = _entry("1", "done", "00:05")
    failed = _entry("1", "failed", "00:04", why="no space")
    (run,) = merge_runs({"one": Log([done]), "two": Log([failed])})
    assert (run.last.outcome, run.last.reason) == ("failed", "two: no space")
    (run,) = merge_runs({"one": Log([done]), "two": Log([_entry("1", "begun", "00:00")])})
    assert not run.has_ended


def test_runs_are_ordered_by_their_start() -> None:
    late, early = _entry("2", "done", "09:00"), _entry("1", "done", "01:00")
    found = merge_runs({"one": Log([late]), "two": Log([early])})
    assert [each.last.run for each in found] == ["1", "2"]


def _found(*times: float, is_finished: bool = True) -> FoundRequests:
    requests = (FoundRequest(each, "i1", "GET", "/", 200, "203.0.113.9") for each in times)
    return FoundRequests(tuple(requests), is_finished)


def test_requests_to_several_hosts_are_ordered_by_time_and_limited_to_the_latest() -> None:
    assert latest([_found(1, 4), _found(3.5, 2), _found()], 3) == _found(2, 3.5, 4)


def test_a_truncated_log_truncates_the_merged_log() -> None:
    assert not latest([_found(1), _found(2, is_finished=False)], 9).is_finished
    assert latest([_found(1), _found(2)], 9) == _found(1, 2)
