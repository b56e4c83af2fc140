"""Test the comparison of values read back from Infisical with the values that were sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.migrate.findings import trim
from infisical_iac.migrate.model import Secret, Stored
from infisical_iac.migrate.verify import Proof, prove
from tests.unit.migrate.moving import secret


def _proof(one: Secret, back: str, expanded: str | None = None) -> Proof:
    seen = {one.name: Stored(back if expanded is None else expanded)}
    (proof,) = prove([one], {one.name: Stored(back)}, seen)
    return proof


@given(st.text(), st.text())
def test_a_proof_holds_only_for_an_identical_value(sent: str, back: str) -> None:
    assert _proof(secret(value=sent), sent).holds
    assert _proof(secret(value=sent), back).holds == (sent == back)


@pytest.mark.parametrize(
    ("sent", "back", "kind", "lengths"),
    [
        (" fake ", "fake", "trimmed", "4 bytes instead of 6"),
        ("a ${B} c", "a  c", "a reference was replaced", "4 bytes instead of 8"),
        ("fake-value", "fake", "end is missing", "4 bytes instead of 10"),
        ("fake", "", "end is missing", "0 bytes instead of 4"),
        ("fake", "fuke", "from character 2 on", "4 bytes instead of 4"),
        ("fake", "faker", "from character 5 on", "5 bytes instead of 4"),
        ("ü", "u", "from character 1 on", "1 bytes instead of 2"),
    ],
)
def test_a_difference_is_described_by_its_kind(
    sent: str, back: str, kind: str, lengths: str
) -> None:
    assert _proof(secret(value=sent), back).difference.endswith(f"{kind}: {lengths}")


@given(st.text(st.characters(codec="utf-8", categories=["Lo", "So"]), min_size=1))
def test_the_description_of_a_difference_shows_no_character_of_a_value(value: str) -> None:
    for back in (trim(value), value[:-1], f"{value}{value}", value[::-1]):
        assert not set(value) & set(_proof(secret(value=value), back).difference)


def test_a_missing_or_hidden_value_is_not_verified() -> None:
    one = secret()
    (missing,) = prove([one], {}, {})
    (hidden,) = prove([one], {one.name: Stored("fake-value", is_hidden=True)}, {})
    assert (missing.plain, missing.holds) == ("missing", False)
    assert (hidden.plain, hidden.holds) == ("hidden", False)


def test_expanded_reads_are_equal_unless_decided_otherwise() -> None:
    assert not _proof(secret(value="a ${B}"), "a ${B}", "a ").holds
    literal = _proof(secret(value="a ${B}", is_literal=True), "a ${B}", "a ")
    assert (literal.holds, literal.expanded) == (True, "differs")


def test_secrets_that_cannot_be_read_expanded_are_unknown() -> None:
    one = secret()
    (proof,) = prove([one], {one.name: Stored(one.value)}, None)
    assert (proof.holds, proof.expanded) == (True, "unknown")
