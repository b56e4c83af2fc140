"""The answer of a drift check, for a webhook and for Prometheus."""

from datetime import UTC, datetime

from infisical_iac.drift import Answer, message, metrics

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
    }


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


def test_a_check_that_could_not_tell_claims_no_number_of_changes() -> None:
    answer = Answer("hetzner", _AT, error="the host is away")
    assert answer.sentence == "hetzner could not be checked: the host is away"
    text = metrics(answer)
    assert "infisical_iac_drift_changes" not in text
    assert 'infisical_iac_drift_check_success{of="hetzner"} 0' in text


def test_a_name_is_quoted() -> None:
    assert '{of="a\\"b"}' in metrics(Answer('a"b', _AT))
