"""The answer of a drift check, for a webhook and for Prometheus."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from infisical_iac.cli import drift
from infisical_iac.monitoring.drift import Answer, message, metrics

_AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_drift_is_a_sentence_and_a_list() -> None:
    answer = Answer("hetzner", _AT, ["~ sign-up: open → closed"])
    assert not answer.settled
    assert message(answer) == {
        "text": "hetzner has drifted: ~ sign-up: open → closed",
        "of": "hetzner",
        "at": "2026-11-25T12:00:00Z",
        "changes": ["~ sign-up: open → closed"],
        "error": "",
        "notes": [],
    }


def test_access_that_could_not_be_seen_is_no_drift_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    note = "service tokens were not seen: the administrator can't log in"
    answer = Answer("hetzner", _AT, notes=[note])
    assert answer.settled
    assert message(answer)["notes"] == [note]
    monkeypatch.setattr(drift, "check", lambda _: answer)
    done = CliRunner().invoke(drift.drift, ["-i", "inventory/hetzner.py"])
    assert done.exit_code == 0
    assert f"Note: {note}\n" in done.stderr


def test_no_drift_is_told_as_such() -> None:
    answer = Answer("hetzner", _AT)
    assert answer.settled
    assert answer.sentence == "hetzner is as declared"
    assert 'infisical_iac_drift_changes{of="hetzner"} 0' in metrics(answer).splitlines()


def test_metrics_are_in_prometheus_text_format() -> None:
    lines = metrics(Answer("hetzner", _AT, ["a", "b"])).splitlines()
    assert lines[:3] == [
        "# HELP infisical_iac_drift_changes "
        "Changes that would bring host and Infisical to what is declared.",
        "# TYPE infisical_iac_drift_changes gauge",
        'infisical_iac_drift_changes{of="hetzner"} 2',
    ]
    assert lines[-1] == 'infisical_iac_drift_check_timestamp_seconds{of="hetzner"} 1795608000'


def test_foreign_access_is_drift_and_no_change() -> None:
    answer = Answer("hetzner", _AT, ["~ sign-up: open → closed", "* identity ci with role admin"])
    lines = metrics(answer).splitlines()
    assert 'infisical_iac_drift_changes{of="hetzner"} 1' in lines
    assert 'infisical_iac_drift_foreign_access{of="hetzner"} 1' in lines
    assert not Answer("hetzner", _AT, ["* identity ci with role admin"]).settled


def test_a_check_that_could_not_tell_claims_no_number_of_changes() -> None:
    answer = Answer("hetzner", _AT, error="the host is away")
    assert answer.sentence == "hetzner could not be checked: the host is away"
    text = metrics(answer)
    assert "infisical_iac_drift_changes" not in text
    assert 'infisical_iac_drift_check_success{of="hetzner"} 0' in text


def test_a_name_is_quoted() -> None:
    assert '{of="a\\"b"}' in metrics(Answer('a"b', _AT))


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that an answer was sent to, of a check that found a difference."""
    sent = list[str]()
    monkeypatch.setattr(drift, "check", lambda _: Answer("hetzner", _AT, ["~ sign-up"]))
    monkeypatch.setattr(drift, "post", lambda webhook, _: sent.append(webhook))
    return sent


def test_the_webhook_is_read_from_a_file_or_from_the_environment(
    posted: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "webhook"
    file.write_text("https://hook.example/obviously-fake-file\n")
    environment = {"INFISICAL_IAC_WEBHOOK": "https://hook.example/obviously-fake-variable"}
    for arguments in ([], ["--webhook-file", str(file)]):
        ran = CliRunner(env=environment).invoke(drift.drift, arguments)
        assert (ran.exit_code, ran.stderr) == (2, "")
    assert posted == [
        "https://hook.example/obviously-fake-variable",
        "https://hook.example/obviously-fake-file",
    ]


def test_a_webhook_on_the_command_line_still_works_and_warns(posted: list[str]) -> None:
    address = "https://hook.example/obviously-fake"
    ran = CliRunner(env={}).invoke(drift.drift, ["--webhook", address])
    assert posted == [address]
    assert "INFISICAL_IAC_WEBHOOK" in ran.stderr
    assert "obviously-fake" not in ran.output
    assert "--webhook " not in CliRunner().invoke(drift.drift, ["--help"]).output


def test_a_webhook_file_that_is_not_there_ends_the_check(posted: list[str]) -> None:
    ran = CliRunner().invoke(drift.drift, ["--webhook-file", "nowhere"])
    assert "nowhere can't be read: write the webhook's address into it" in str(ran.exception)
    assert posted == []
