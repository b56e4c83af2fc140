"""Test the report of data that were set aside when a change was given up."""

import pytest

from infisical_iac.agent.data import GivenUp
from infisical_iac.stack.model import (
    describe_given_up,
    describe_kept_data,
    given_up_after_proof,
    parse_after_proof,
    parse_given_up,
)

_NAME = "infisical_postgres_given_up_20261125T101112Z"
_SINCE = "2026-11-25T10:12:00Z"


@pytest.mark.parametrize(
    ("words", "found", "is_needed"),
    [
        (f" {_SINCE} 30 i p", GivenUp(_NAME, _SINCE, 30, ("i", "p")), True),
        (f" {_SINCE} 1 i p", GivenUp(_NAME, _SINCE, 1, ("i", "p")), True),
        (f" {_SINCE} 0", GivenUp(_NAME, _SINCE, 0), False),
        (" unknown unknown", GivenUp(_NAME), True),
        ("", GivenUp(_NAME), True),
    ],
)
def test_data_that_were_given_up_are_parsed(words: str, found: GivenUp, is_needed: bool) -> None:
    (parsed,) = parse_given_up(["something else", f"given-up {_NAME}{words}"])
    assert (parsed, parsed.is_needed) == (found, is_needed)


def test_no_data_are_reported_if_none_were_given_up() -> None:
    assert describe_given_up([]) == "with all data"
    assert describe_kept_data([]) == given_up_after_proof([], []) == []


def test_data_of_a_cluster_are_in_a_database() -> None:
    (found,) = parse_given_up([f"given-up infisical_given_up_x {_SINCE} 2"])
    assert (found.kind, found.name, found.writes) == ("database", "infisical_given_up_x", 2)


def test_a_proven_change_reports_removed_and_kept_data() -> None:
    said = [f"removed {_NAME}", f"given-up {_NAME}_2 {_SINCE} 2 i p"]
    removed, kept = given_up_after_proof(*parse_after_proof(said))
    assert removed.startswith("Removed ")
    assert f"{_NAME}:" in removed
    assert kept.startswith("Kept ")
    assert f"{_NAME}_2" in kept
