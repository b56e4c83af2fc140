"""Data that a change was given up with, in words."""

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
def test_how_much_was_written_is_told_or_that_it_could_not_be_counted(
    words: str, told: str
) -> None:
    found = parse_given_up(["something else", f"given-up {_NAME}{words}"])
    assert describe_data(found) == f"with all data; {told} the Docker volume {_NAME} ({HELP})"
    assert describe_kept([f"given-up {_NAME}{words}"]) == [
        f"Kept: {told} the Docker volume {_NAME}; {HELP}."
    ]


def test_where_nothing_was_given_up_nothing_is_told() -> None:
    assert describe_data([]) == "with all data"
    assert describe_kept([]) == after_proof([]) == []


def test_a_database_of_a_cluster_is_called_one() -> None:
    found = parse_given_up([f"given-up infisical_given_up_x {_SINCE} 2"])
    assert "are in the database infisical_given_up_x" in describe_data(found)


def test_what_a_proven_change_leaves_is_told() -> None:
    lines = [f"removed {_NAME}", f"given-up {_NAME}_2 {_SINCE} 2 i p"]
    assert after_proof(lines) == [
        f"Removed what was given up and nobody had written to: {_NAME}.",
        f"Kept: 2 writes since {_SINCE} are in the Docker volume {_NAME}_2, until you remove it.",
    ]
