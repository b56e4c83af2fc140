"""Test the lines of `audit`, and the tables and the source of `audit access`."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infisical_iac.agent.access import FoundRequest, FoundRequests, NotedWrite
from infisical_iac.cli import audit
from infisical_iac.cli.audit import show_events, show_requests, show_run
from infisical_iac.cli.main import main
from infisical_iac.core import connection
from infisical_iac.core.audit_entries import AuditEntry, LoggedRun
from infisical_iac.host import watch
from infisical_iac.stack.access_log import KnownNames, LoggedEvent, LoggedRequest
from infisical_iac.workspace import licensing
from tests.unit.settings_of import settings_of

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


def test_a_read_or_write_without_a_known_environment_has_a_question_mark(
    capsys: pytest.CaptureFixture[str],
) -> None:
    by_id = {"path": "/api/v4/secrets/id/1", "project": "", "environment": "", "folder": ""}
    read = LoggedRequest(**{**vars(_READ), **by_id})
    show_requests([read, LoggedRequest(**{**vars(read), "method": "PATCH"})])
    [_, first, second] = capsys.readouterr().out.splitlines()
    assert first.split()[4:6] == ["?", "200"]
    assert second.split()[4:6] == ["?", "200"]


def test_an_empty_result_is_reported_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_requests([])
    assert capsys.readouterr().out == "No requests found.\n"


_EVENT = LoggedEvent(
    at="2026-11-26T06:26:48Z",
    who="backend-production",
    event="create-secrets",
    secrets=["A", "B", "C", "D", "E", "F", "G"],
    project="acme",
    environment="production",
    folder="/backend",
    address="203.0.113.9",
)
_PLACE = {"environment": "production"}
_FOUND = FoundRequest(1795674408.0, "i1", "GET", "/api/v4/secrets", 200, "203.0.113.9", _PLACE)
_AFTER = "records nothing"


def test_an_event_is_one_line_with_the_first_names(capsys: pytest.CaptureFixture[str]) -> None:
    show_events([_EVENT])
    [_, line] = capsys.readouterr().out.splitlines()
    assert line.split()[3:10] == ["A,", "B,", "C,", "D,", "E,", "2", "more"]
    assert line.split()[-4:] == ["acme", "production", "/backend", "203.0.113.9"]


def test_no_events_are_reported_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_events([])
    assert capsys.readouterr().out == "No events found.\n"


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `audit access` on a host with one request and one event.

    `why` is the reason why Infisical's own log does not answer; further ones are settings.
    """

    def run(
        *arguments: str, why: str = "", noted: Sequence[NotedWrite] = (), **settings: Any
    ) -> Result:
        @contextmanager
        def host(_: str) -> Iterator[Any]:
            yield None, settings_of(**settings)

        monkeypatch.setattr(audit, "open_host", host)
        monkeypatch.setattr(audit, "_read_known_names", lambda *_, **__: KnownNames({"i1": "b"}))
        monkeypatch.setattr(audit, "_read_events", lambda *_: iter([_EVENT]))
        monkeypatch.setattr(connection, "with_others", lambda _: [None])
        monkeypatch.setattr(connection, "each_of", lambda hosts, read: list(map(read, hosts)))
        monkeypatch.setattr(watch, "read_requests", lambda *_: FoundRequests((_FOUND,)))
        unnamed = replace(_FOUND, who="")
        written = [replace(unnamed, method="PATCH", query={})] if noted else []
        own = FoundRequests((unnamed, *written))
        monkeypatch.setattr(watch, "read_own_requests", lambda *_: own)
        monkeypatch.setattr(watch, "read_noted_writes", lambda *_: noted)
        monkeypatch.setattr(licensing, "explain_missing_events", lambda *_: why)
        return CliRunner().invoke(main, ["audit", "access", *arguments])

    return run


_LICENSED = {"license_key": "offline"}


@pytest.mark.parametrize(
    ("arguments", "settings", "shown", "noted"),
    [
        ((), {}, "/api/v4/secrets", ""),
        ((), _LICENSED, "create-secrets", "own audit log"),
        ((), {**_LICENSED, "why": _AFTER}, "/api/v4/secrets", f"proxy's log: {_AFTER}"),
        (("--source", "proxy"), _LICENSED, "/api/v4/secrets", ""),
        (("--status", "200"), _LICENSED, "/api/v4/secrets", ""),
        (("--source", "infisical"), {**_LICENSED, "why": _AFTER}, "create-secrets", _AFTER),
        (("--source", "infisical"), {}, "create-secrets", "without a license"),
        (("--environment", "production"), _LICENSED, "create-secrets", "own audit log"),
        (("--environment", "qa"), _LICENSED, "No events found.", "own audit log"),
        ((), {**_LICENSED, "ingress": "none"}, "create-secrets", "own audit log"),
    ],
)
def test_the_log_that_answers_is_shown_and_named(
    access: Callable[..., Result],
    arguments: tuple[str, ...],
    settings: dict[str, Any],
    shown: str,
    noted: str,
) -> None:
    result = access(*arguments, **settings)
    assert result.exit_code == 0, result.output
    assert shown in result.stdout
    assert noted in result.stderr
    assert bool(noted) == ("Note: " in result.stderr)


_NOTED = NotedWrite(1795674408.0, "i1", "p1", "qa", "/b")


def test_without_a_proxy_the_request_log_is_shown_with_the_callers_of_writes(
    access: Callable[..., Result],
) -> None:
    result = access("--json", ingress="none", noted=[_NOTED])
    read, write = json.loads(result.stdout)
    assert (read["who"], read["environment"]) == ("", "production")
    assert (write["who"], write["environment"], write["folder"]) == ("b", "qa", "/b")
    for fact in ("request log", "1 of 2 requests"):
        assert fact in result.stderr


def test_a_write_is_found_by_its_environment_and_caller(access: Callable[..., Result]) -> None:
    for asked in (("--environment", "qa"), ("--identity", "b")):
        result = access("--json", *asked, ingress="none", noted=[_NOTED])
        assert [each["method"] for each in json.loads(result.stdout)] == ["PATCH"]


def test_the_reason_for_another_log_than_infisicals_own_is_noted(
    access: Callable[..., Result],
) -> None:
    result = access(**_LICENSED, why=_AFTER, ingress="none")
    assert (result.exit_code, _AFTER in result.stderr) == (0, True)


def test_statuses_are_of_the_log_of_the_proxy(access: Callable[..., Result]) -> None:
    result = access("--source", "infisical", "--status", "200", **_LICENSED)
    assert (result.exit_code, "--status" in result.output) == (1, True)


def test_events_are_data_with_names_of_their_own(access: Callable[..., Result]) -> None:
    result = access("--json", **_LICENSED)
    assert json.loads(result.stdout) == [asdict(_EVENT)]
