"""Test what is told where grammars read a file differently."""

from infisical_iac.dotenv import read
from infisical_iac.migrate.findings import disagreements


def test_grammars_that_disagree_are_told_by_lengths() -> None:
    data = b"SAME=fake\nA=fake#secret\nexport\tB=fake\nC=$SAME\n"
    found = list(disagreements(data, read(data, "dotenv"), ["python-dotenv", "compose"]))
    assert [(each.line, each.key) for each in found] == [(2, "A"), (4, "C")]
    assert found[0].message == (
        "dotenv reads 4 characters, python-dotenv reads 11 characters, compose reads 11 characters."
    )
    assert "compose reads 4 characters" in found[1].message
    assert "python" not in found[1].message


def test_values_of_the_same_length_are_told_to_be_others() -> None:
    data = b"A=xy\nB=$A\n"
    found = list(disagreements(data, read(data, "compose"), ["python-dotenv"]))
    assert [each.message for each in found] == [
        "compose reads 2 characters, python-dotenv other ones."
    ]


def test_another_grammar_that_refuses_the_file_is_told_once() -> None:
    data = b'A=fake\nB="fake\n'
    found = list(disagreements(data, read(data, "dotenv"), ["compose"]))
    assert [(each.line, each.kind) for each in found] == [(0, "refused-by-another")]


def test_of_a_refused_file_nothing_more_is_told() -> None:
    data = b'A=fake\nB="fake\n'
    assert not list(disagreements(data, read(data, "compose"), ["dotenv"]))
