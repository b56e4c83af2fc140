"""Test the default decision on a key, and which decisions are refused."""

import pytest

from infisical_iac.migrate import planning
from infisical_iac.migrate.model import FileFinding
from infisical_iac.migrate.plan_file import Decision
from tests.unit.migrate.moving import finding

_LITERAL = finding("literal-reference", blocking=True)
_TRIMMED = finding("trimmed", blocking=True)


@pytest.mark.parametrize(
    ("kinds", "allow_literal", "decision"),
    [
        ([], False, "store"),
        ([finding("empty")], False, "store"),
        ([finding("resolved")], False, "store-resolved"),
        ([_TRIMMED], False, "undecided"),
        ([_LITERAL], False, "undecided"),
        ([_LITERAL], True, "store-literal"),
        ([_LITERAL, finding("resolved")], True, "store-literal"),
        ([_LITERAL, _TRIMMED], True, "undecided"),
        ([finding("bootstrap-key"), _TRIMMED], False, "skip"),
    ],
)
def test_the_default_follows_from_the_findings(
    kinds: list[FileFinding], allow_literal: bool, decision: Decision
) -> None:
    assert planning.default_decision(kinds, allow_literal=allow_literal) == decision


def test_a_file_with_a_blocking_finding_on_the_whole_file_is_undecided() -> None:
    assert planning.decide_file([]) == planning.decide_file([finding("tracked")]) == "store"
    assert planning.decide_file([finding("no-service", blocking=True)]) == "undecided"


@pytest.mark.parametrize(
    ("fresh", "earlier", "kept"),
    [
        ("undecided", "store", "store"),
        ("undecided", "skip", "skip"),
        ("store", "skip", "skip"),
        ("store-resolved", "store", "store-resolved"),
        ("store", "undecided", "store"),
        ("skip", "store", "store"),
        ("skip", "undecided", "skip"),
    ],
)
def test_decisions_of_a_person_are_kept(fresh: Decision, earlier: Decision, kept: Decision) -> None:
    then = [_TRIMMED, finding("empty")]
    assert planning.keep_decision(fresh, earlier, [_TRIMMED], then) == kept


@pytest.mark.parametrize(("earlier", "kept"), [("store", "undecided"), ("skip", "skip")])
def test_a_decision_to_store_is_dropped_after_a_new_finding(
    earlier: Decision, kept: Decision
) -> None:
    fresh: Decision = "undecided"
    assert planning.keep_decision(fresh, earlier, [_TRIMMED], []) == kept


def test_a_new_default_to_skip_replaces_an_earlier_decision() -> None:
    fresh: Decision = "skip"
    assert planning.keep_decision(fresh, "store", [finding("bootstrap-key")], []) == "skip"


@pytest.mark.parametrize("decision", ["store", "store-resolved"])
@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("FAKE", " padded-fake", "with blanks"),
        ("FAKE", "fake\n\n", "with blanks"),
        ("FAKE", "\u00a0fake", "with blanks"),
        ("FAKE", "fake \udcff", "not UTF-8"),
        ("FAKE", "x" * 900_000, "too long"),
        ("FAKE", "fake ${OTHER}", "decide `store-literal` or `skip`"),
        ("A:B", "fake", "has a name"),
        ("A/B", "fake", "has a name"),
        ("A B", "fake", "has a name"),
    ],
)
def test_values_that_infisical_would_change_are_refused(
    decision: Decision, key: str, value: str, reason: str
) -> None:
    refusal = planning.refusal(decision, key, value)
    assert reason in refusal
    assert value not in refusal
    assert planning.refusal("skip", key, value) == ""


@pytest.mark.parametrize("value", ["", "fake\n", "$A ${A:-b} ${{A}} $$", "a\0b", "ü🔑", "a  b"])
def test_values_that_infisical_keeps_may_be_stored(value: str) -> None:
    assert planning.refusal("store", "FAKE", value) == ""


def test_a_literal_reference_may_be_stored_with_store_literal() -> None:
    assert planning.refusal("store-literal", "FAKE", "fake ${OTHER}") == ""


@pytest.mark.parametrize("value", ["fake$name", "fake", "fake ${NAME:-other}"])
def test_store_literal_is_refused_for_a_value_without_a_literal_reference(value: str) -> None:
    output = planning.refusal("store-literal", "FAKE", value)
    assert "decide `store`" in output
    assert "`grammar`" in output
    assert "fake" not in output


def test_undecided_keys_are_refused() -> None:
    assert "undecided" in planning.refusal("undecided", "FAKE", "fake")


@pytest.mark.parametrize("kind", ["overridden", "bootstrap-key"])
def test_a_key_is_no_longer_skipped_once_the_reason_is_gone(kind: str) -> None:
    store: Decision = "store"
    undecided: Decision = "undecided"
    assert planning.keep_decision(store, "skip", [], [finding(kind)]) == "store"
    then = [finding(kind), _TRIMMED]
    assert planning.keep_decision(undecided, "skip", [_TRIMMED], then) == "undecided"
