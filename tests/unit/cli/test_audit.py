"""Test the lines of `audit`, and the table of `audit access`."""

from dataclasses import replace

import pytest

from infisical_iac.cli.audit import show_requests, show_run
from infisical_iac.core.audit_entries import AuditEntry, LoggedRun
from infisical_iac.stack.access_log import LoggedRequest

_READ = LoggedRequest(
    at="2026-11-26T06:26:48Z",
    who="a-service-with-a-rather-long-name-production",
    proven=True,
    method="GET",
    path="/api/v4/secrets/A_SECRET_WITH_A_RATHER_LONG_NAME_[red]",
    project="chainalign",
    environment="production",
    folder="/python-services/and/folders/below",
    status=200,
    address="2001:db8:1234:5678:9abc:def0:1234:5678",
)


_FAILED = AuditEntry(
    at="2026-11-26T06:27:12Z",
    by="ada@laptop",
    event="apply",
    outcome="failed",
    run="1a2b",
    revision="v0.1.0-3-gabc",
    changes=["+ environment staging", "~ container redis: is paused"],
    reason="no answer",
)


def test_a_run_is_one_line_with_its_changes_below(capsys: pytest.CaptureFixture[str]) -> None:
    show_run(LoggedRun("2026-11-26T06:26:48Z", _FAILED))
    words = ("2026-11-26T06:26:48Z", "ada@laptop", "apply", "failed", "v0.1.0-3-gabc")
    assert capsys.readouterr().out.splitlines() == [
        "  ".join(words),
        "    + environment staging",
        "    ~ container redis: is paused",
        "    no answer",
    ]


def test_a_run_without_an_end_is_reported_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    begun = replace(_FAILED, outcome="begun", revision="", changes=[], reason="")
    show_run(LoggedRun(begun.at, begun))
    assert capsys.readouterr().out.endswith("  apply  has not ended\n")


def test_no_cell_is_cut_off_however_long_a_line_gets(capsys: pytest.CaptureFixture[str]) -> None:
    show_requests([_READ])
    [_, line] = capsys.readouterr().out.splitlines()
    cells = (_READ.at, _READ.who, _READ.method, _READ.path, _READ.project, _READ.environment)
    assert line.split() == [*cells, _READ.folder, "200", _READ.address]


def test_an_unchecked_caller_has_a_question_mark(capsys: pytest.CaptureFixture[str]) -> None:
    claimed = LoggedRequest(**{**vars(_READ), "who": "somebody", "proven": False, "status": 403})
    nobody = LoggedRequest(**{**vars(_READ), "who": "", "proven": False})
    show_requests([claimed, nobody])
    [_, first, second] = capsys.readouterr().out.splitlines()
    assert first.split()[1] == "somebody?"
    assert second.split()[1] == "GET"


def test_a_read_that_does_not_name_its_environment_has_a_question_mark(
    capsys: pytest.CaptureFixture[str],
) -> None:
    by_id = {"path": "/api/v4/secrets/id/1", "project": "", "environment": "", "folder": ""}
    read = LoggedRequest(**{**vars(_READ), **by_id})
    show_requests([read, LoggedRequest(**{**vars(read), "method": "PATCH"})])
    [_, first, second] = capsys.readouterr().out.splitlines()
    assert first.split()[4:6] == ["?", "200"]
    assert second.split()[4] == "200"


def test_an_empty_result_is_reported_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_requests([])
    assert capsys.readouterr().out == "No requests found.\n"
