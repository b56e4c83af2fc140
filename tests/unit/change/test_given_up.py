"""Report data that were set aside when a change was given up."""

import pytest

from infisical_iac.stack.given_up import (
    HELP,
    after_proof,
    describe_data,
    describe_kept,
    parse_given_up,
)

_NAME = "infisical_postgres_given_up_20261125T101112Z"
_SINCE = "2026-11-25T10:12:00Z"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (f" {_SINCE} 30 i p", f"30 writes since {_SINCE} are in"),
        (f" {_SINCE} 1 i p", f"1 write since {_SINCE} is in"),
        (f" {_SINCE} 0", f"what was given up, to which nobody has written since {_SINCE}, is in"),
        (
            " unknown unknown",
            "what was written, which could not be counted, is in",
        ),
        ("", "what was written, which could not be counted, is in"),
    ],
)
def test_wording_of_data_that_were_given_up(words: str, told: str) -> None:
    found = parse_given_up(["something else", f"given-up {_NAME}{words}"])
    assert describe_data(found) == f"with all data; {told} the Docker volume {_NAME} ({HELP})"
    assert describe_kept([f"given-up {_NAME}{words}"]) == [
        f"Kept: {told} the Docker volume {_NAME}; {HELP}."
    ]


def test_nothing_is_reported_where_nothing_was_given_up() -> None:
    assert describe_data([]) == "with all data"
    assert describe_kept([]) == after_proof([]) == []


def test_data_of_a_cluster_are_in_a_database() -> None:
    (found,) = parse_given_up([f"given-up infisical_given_up_x {_SINCE} 2"])
    assert (found.kind, found.name, found.writes) == ("database", "infisical_given_up_x", 2)


def test_a_proven_change_reports_removed_and_kept_data() -> None:
    removed, kept = after_proof([f"removed {_NAME}", f"given-up {_NAME}_2 {_SINCE} 2 i p"])
    assert removed.startswith("Removed ")
    assert f"{_NAME}." in removed
    assert kept.startswith("Kept: 2 writes ")
    assert f"{_NAME}_2" in kept
