"""Test that questions on a terminal are answered by their patterns."""

import sys

import pytest

from tests.staging.operator import answer_questions
from tests.staging.shell import StagingError

_PROGRAM = """
import sys
import click
click.echo("Questions: three", err=True)
host = click.prompt("The server's name, such as 203.0.113.7")
port = click.prompt("The port", "22")
agreed = click.confirm("Is it the same? Then it is added to known_hosts.", err=True)
print([host, port, agreed, sys.stdin.isatty()])
sys.exit(3)
"""


def test_questions_are_answered_by_the_first_pattern_or_the_default() -> None:
    answers = [(r"the same", "y"), (r"(?i)server", "198.51.100.7"), (r"such as", "wrong")]
    status, shown = answer_questions([sys.executable, "-c", _PROGRAM], answers)
    assert status == 3
    assert "['198.51.100.7', '22', True, True]" in shown


def test_a_refused_answer_ends_the_program() -> None:
    program = "import click; click.prompt('Watch it', type=bool)"
    with pytest.raises(StagingError, match="Watch it"):
        answer_questions([sys.executable, "-c", program], [("Watch", "22")])
