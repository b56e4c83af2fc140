"""Test the wording of messages of `drift` and `status`. Other tests assert codes and facts."""

from datetime import UTC, datetime

from infisical_iac.monitoring.drift import Answer
from tests.unit.health_rows import observed, row_of

_AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
_CHANGE = "~ sign-up: open → closed"


def test_wording_of_the_result_of_a_drift_check() -> None:
    sentences = [
        Answer("hetzner", _AT).sentence,
        Answer("hetzner", _AT, [_CHANGE]).sentence,
        Answer("hetzner", _AT, error="no answer").sentence,
    ]
    assert sentences == [
        "hetzner is as declared",
        f"hetzner has drifted: {_CHANGE}",
        "hetzner could not be checked: no answer",
    ]


def test_wording_of_a_firewall_that_is_not_loaded() -> None:
    text, _ = row_of("Firewall", observed(firewall="ssh-only"))
    assert text == (
        "its rules can't be loaded, so only SSH is let in, and Docker does not start: "
        "`infisical-iac apply`"
    )
