"""Test the findings where grammars read a file differently."""

import re

import pytest

from infisical_iac.dotenv import read
from infisical_iac.migrate.findings import disagreements, with_outcomes


def _lengths(message: str) -> dict[str, int]:
    """Return the number of characters that each grammar reads, as a message names them."""
    return {name: int(count) for name, count in re.findall(r"([\w-]+) reads (\d+) ", message)}


def test_grammars_that_disagree_are_reported_by_lengths() -> None:
    data = b"SAME=fake\nA=fake#secret\nexport\tB=fake\nC=$SAME\n"
    found = list(disagreements(data, read(data, "dotenv"), ["python-dotenv", "compose"]))
    assert [(each.line, each.key) for each in found] == [(2, "A"), (4, "C")]
    assert _lengths(found[0].message) == {"dotenv": 4, "python-dotenv": 11, "compose": 11}
    assert _lengths(found[1].message)["compose"] == 4
    assert "python" not in found[1].message


def test_a_different_value_of_the_same_length_is_reported_as_other() -> None:
    data = b"A=xy\nB=$A\n"
    (found,) = disagreements(data, read(data, "compose"), ["python-dotenv"])
    assert _lengths(found.message) == {"compose": 2}
    assert "python-dotenv other" in found.message


def test_another_grammar_that_refuses_the_file_is_reported_once() -> None:
    data = b'A=fake\nB="fake\n'
    found = list(disagreements(data, read(data, "dotenv"), ["compose"]))
    assert [(each.line, each.kind) for each in found] == [(0, "refused-by-another")]


def test_nothing_more_is_reported_of_a_refused_file() -> None:
    data = b'A=fake\nB="fake\n'
    assert not list(disagreements(data, read(data, "compose"), ["dotenv"]))


@pytest.mark.parametrize(
    ("data", "own", "other", "mine", "theirs"),
    [
        ("A=fake$name", "compose", "dotenv", "compose's: `decision: store`", "the text as written"),
        ("A=fake#fake", "dotenv", "compose", "dotenv's: `decision: store`", "compose's"),
        (
            "A='fake${B}'",
            "dotenv",
            "dotenv-expand",
            "the text as written: `decision: store-literal`",
            "dotenv-expand's",
        ),
    ],
)
def test_each_reading_is_reported_with_the_edit_that_keeps_it(
    data: str, own: str, other: str, mine: str, theirs: str
) -> None:
    (found,) = disagreements(data.encode(), read(data.encode(), own), [other])
    first, second, *_ = found.remedy.split(";")
    assert first == f"Keep {mine}"
    assert second.startswith(f" keep {theirs}: `grammar: {other}` ")
    assert "plan again" in second


def test_identical_readings_are_one_choice() -> None:
    data = b"A=fake#secret\n"
    (found,) = disagreements(data, read(data, "dotenv"), ["python-dotenv", "compose"])
    assert found.remedy.count("`grammar: ") == 1


def test_an_undefined_reference_is_reported_with_both_outcomes() -> None:
    data = b"A=fake$zzyx\n"
    reading = read(data, "compose")
    (found,) = (each for each in reading.findings if each.kind == "undefined-reference")
    output = with_outcomes(found, data, reading)
    assert _lengths(output.message) == {"compose": 4, "dotenv": 9}
    assert "`grammar: dotenv`" in output.remedy
    assert "zzyx" not in output.message.removeprefix(found.message) + output.remedy


def test_the_text_as_written_is_offered_only_if_a_grammar_reads_all_of_it() -> None:
    for data, is_whole in ((b"AUTH_SECRET=fake-$1-9", True), (b"AUTH_SECRET=fake-$1#9", False)):
        reading = read(data, "next")
        (undefined,) = [each for each in reading.findings if each.kind == "undefined-reference"]
        found = with_outcomes(undefined, data, reading)
        assert ("the text as written" in found.remedy) == is_whole
        assert ("`grammar: dotenv`" in found.remedy) == is_whole
        assert ("single quotes" in found.remedy) == (not is_whole)
        assert "`decision: store`" in found.remedy
    quoted = read(b"AUTH_SECRET='fake-$1#9'", "dotenv")
    assert quoted.values == {"AUTH_SECRET": "fake-$1#9"}  # so the advice leads to the whole text
