"""Test that each grammar reads the same values as the real parsers, which made the cases."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.dotenv import GRAMMARS, read

_CASES = json.loads(Path(__file__).with_name("cases.json").read_text())["cases"]
_ENVIRON = {"HOME": "/home/u"}

# For these cases, bash runs a command or uses its own state, without reporting an error.
_NOT_READ_SAFELY = {"heredoc", "expand_dollar_dollar", "bcrypt", "latin1"}


def _cases(*grammars: str) -> list[Any]:
    return [
        pytest.param(grammar, case, id=f"{grammar}-{case['name']}")
        for grammar in grammars
        for case in _CASES
    ]


@pytest.mark.parametrize(
    ("grammar", "case"), _cases(*(grammar for grammar in GRAMMARS if grammar != "shell"))
)
def test_a_file_is_read_as_the_real_parser_reads_it(grammar: str, case: dict[str, Any]) -> None:
    reading = read(b64decode(case["input_b64"]), grammar, _ENVIRON)
    expected = case[grammar]
    if "__error__" in expected:
        assert reading.error
        assert reading.values == {}
    else:
        assert reading.error == ""
        # python-dotenv returns None for a name without a value, which sets nothing.
        values = [(key, value) for key, value in expected.items() if value is not None]
        assert list(reading.values.items()) == values


@pytest.mark.parametrize(("grammar", "case"), _cases("shell"))
def test_a_shell_file_is_read_as_bash_reads_it_or_refused(
    grammar: str, case: dict[str, Any]
) -> None:
    reading = read(b64decode(case["input_b64"]), grammar, _ENVIRON)
    expected = case[grammar]
    if "__stderr__" in expected or case["name"] in _NOT_READ_SAFELY:
        assert reading.error
        assert [finding.message for finding in reading.findings][-1] == reading.error
        assert reading.values == {}
    else:
        assert reading.error == ""
        assert reading.values == expected


def test_each_of_87_cases_has_a_result_for_every_grammar() -> None:
    assert len({case["name"] for case in _CASES}) == 87
    assert all(set(GRAMMARS) < set(case) for case in _CASES)
