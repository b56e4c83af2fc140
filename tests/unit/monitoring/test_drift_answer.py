"""Test the answer of a drift check, for a webhook and for Prometheus."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from infisical_iac.cli import status
from infisical_iac.core import connection
from infisical_iac.core.errors import FileError, UserError
from infisical_iac.monitoring import drift as drift_check
from infisical_iac.monitoring.drift import Answer, list_unknown_admins, message, metrics

_AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


_CHANGE = "~ sign-up: open → closed"


def test_the_body_for_a_webhook_has_a_sentence_and_a_list() -> None:
    answer = Answer("hetzner", _AT, [_CHANGE])
    assert not answer.is_as_declared
    assert message(answer) == {
        "text": answer.sentence,
        "of": "hetzner",
        "at": "2026-11-25T12:00:00Z",
        "changes": [_CHANGE],
        "error": "",
        "notes": [],
    }


def test_access_that_could_not_be_inspected_is_not_drift_and_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note = "service tokens were not seen: the administrator can't log in"
    answer = Answer("hetzner", _AT, notes=[note])
    assert answer.is_as_declared
    assert message(answer)["notes"] == [note]
    monkeypatch.setattr(status, "check", lambda _: answer)
    done = CliRunner().invoke(status.drift, ["-i", "inventory/hetzner.py"])
    assert done.exit_code == 0
    assert f"Note: {note}\n" in done.stderr


def _values(answer: Answer) -> dict[str, str]:
    """Return the values of the metrics of `hetzner`, by name."""
    lines = [line for line in metrics(answer).splitlines() if not line.startswith("# ")]
    return dict(line.split('{of="hetzner"} ') for line in lines)


def test_a_host_without_drift_has_zero_changes() -> None:
    answer = Answer("hetzner", _AT)
    assert answer.is_as_declared
    assert _values(answer)["infisical_iac_drift_changes"] == "0"


def test_metrics_are_in_prometheus_text_format() -> None:
    help_line, *lines = metrics(Answer("hetzner", _AT, ["a", "b"])).splitlines()
    name = "infisical_iac_drift_changes"
    assert re.fullmatch(rf"# HELP {name} [A-Z].*\.", help_line)
    assert lines[:2] == [
        f"# TYPE {name} gauge",
        f'{name}{{of="hetzner"}} 2',
    ]
    assert lines[-1] == 'infisical_iac_drift_check_timestamp_seconds{of="hetzner"} 1795608000'


def test_foreign_access_is_drift_but_not_a_change() -> None:
    foreign = "* identity ci with role admin"
    values = _values(Answer("hetzner", _AT, [_CHANGE, foreign]))
    assert values["infisical_iac_drift_changes"] == "1"
    assert values["infisical_iac_drift_foreign_access"] == "1"
    assert not Answer("hetzner", _AT, [foreign]).is_as_declared


def test_a_failed_check_reports_no_number_of_changes() -> None:
    values = _values(Answer("hetzner", _AT, error="the host is unreachable"))
    assert "infisical_iac_drift_changes" not in values
    assert values["infisical_iac_drift_check_success"] == "0"


def test_a_name_is_escaped_in_metrics() -> None:
    assert '{of="a\\"b"}' in metrics(Answer('a"b', _AT))


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the addresses to which a check that finds drift posts its result."""
    sent = list[str]()
    monkeypatch.setattr(status, "check", lambda _: Answer("hetzner", _AT, ["~ sign-up"]))
    monkeypatch.setattr(status, "post", lambda webhook, _: sent.append(webhook))
    return sent


def test_the_webhook_is_read_from_a_file_or_from_the_environment(
    posts: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "webhook"
    file.write_text("https://hook.example/obviously-fake-file\n")
    environment = {"INFISICAL_IAC_WEBHOOK": "https://hook.example/obviously-fake-variable"}
    for arguments in ([], ["--webhook-file", str(file)]):
        ran = CliRunner(env=environment).invoke(status.drift, arguments)
        assert (ran.exit_code, ran.stderr) == (2, "")
    assert posts == [
        "https://hook.example/obviously-fake-variable",
        "https://hook.example/obviously-fake-file",
    ]


def test_a_webhook_on_the_command_line_still_works_and_warns(posts: list[str]) -> None:
    address = "https://hook.example/obviously-fake"
    ran = CliRunner(env={}).invoke(status.drift, ["--webhook", address])
    assert posts == [address]
    assert "INFISICAL_IAC_WEBHOOK" in ran.stderr
    assert "obviously-fake" not in ran.output
    assert "--webhook " not in CliRunner().invoke(status.drift, ["--help"]).output


def test_a_missing_webhook_file_ends_the_check(posts: list[str]) -> None:
    ran = CliRunner().invoke(status.drift, ["--webhook-file", "nowhere"])
    assert isinstance(ran.exception, FileError)
    assert "nowhere" in str(ran.exception)
    assert posts == []


def test_an_administrator_that_the_settings_do_not_name_is_foreign() -> None:
    admins = ["ada@example.com", "eve@example.com", "Bob@example.com"]
    accepted = {"server administrator bob@example.com"}
    (found,) = list_unknown_admins(admins, "Ada@example.com", accepted)
    assert str(found).startswith("* server administrator eve@example.com: ")
    answer = Answer("hetzner", _AT, [str(found)])
    assert answer.foreign == [str(found)]


def _check(monkeypatch: pytest.MonkeyPatch, deployment: object) -> tuple[Answer, list[Answer]]:
    """Check a deployment that can be opened, or whose error is raised; return what is kept too."""
    kept: list[Answer] = []

    @contextmanager
    def open_deployment(*_: object, **__: object) -> Iterator[object]:
        if isinstance(deployment, UserError):
            raise deployment
        yield deployment

    # The module patches the process with gevent.
    fake = SimpleNamespace(open_deployment=open_deployment)
    monkeypatch.setitem(sys.modules, "infisical_iac.core.deployment", fake)
    monkeypatch.setattr(connection, "current", lambda _: nullcontext())
    monkeypatch.setattr(drift_check, "_find_admins", lambda: ([], ["not seen"]))
    monkeypatch.setattr(drift_check, "_keep", lambda answer, _: kept.append(answer))
    return drift_check.check("inventory/hetzner.py"), kept


def test_the_hosts_keep_the_result_of_a_check_that_failed_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> list[str]:
        raise UserError("a key is gone")

    journal = SimpleNamespace(foreign=["* identity ci"], access_notes=[])
    failing = SimpleNamespace(host=None, journal=journal, lines=fail)
    answer, kept = _check(monkeypatch, failing)
    assert (answer.of, answer.error, kept) == ("hetzner", "a key is gone", [answer])
    healthy = SimpleNamespace(host=None, journal=journal, lines=lambda: [_CHANGE])
    answer, kept = _check(monkeypatch, healthy)
    assert (answer.changes, answer.notes) == ([_CHANGE, "* identity ci"], ["not seen"])
    assert kept == [answer]


def test_a_host_that_cannot_be_reached_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, kept = _check(monkeypatch, UserError("no route"))
    assert (answer.error, kept) == ("no route", [])
