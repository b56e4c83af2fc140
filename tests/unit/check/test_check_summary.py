"""The text of a check: findings of one cause are one line, and what helps is said once."""

from infisical_iac.check.model import Cause, CheckFinding
from infisical_iac.check.summary import summarize


def _secret(file: str, line: int, key: str) -> CheckFinding:
    cause = Cause(file, "{count} values look like secrets", "Move such values.")
    message = f"{key} has a value that looks like a secret. Move such values."
    return CheckFinding("secret-in-file", f"{file}:{line}", key, message, cause=cause)


def test_the_findings_of_one_file_and_cause_are_one_line() -> None:
    found = [_secret("a/.env", 1, "A"), _secret("a/.env", 7, "B")]
    lines, common = summarize(found)
    assert [(each.finding.kind, each.finding.place, each.text) for each in lines] == [
        (
            "secret-in-file",
            "a/.env",
            "2 values look like secrets: A (line 1), B (line 7). Move such values.",
        )
    ]
    assert common == {}


def test_a_remedy_of_several_lines_is_said_once() -> None:
    found = [_secret("a/.env", 1, "A"), _secret("b/.env", 1, "A"), _secret("b/.env", 2, "B")]
    lines, common = summarize(found)
    assert [each.text for each in lines] == [
        "A has a value that looks like a secret.",
        "2 values look like secrets: A (line 1), B (line 2).",
    ]
    assert common == {"Move such values.": ["secret-in-file"]}


def test_another_cause_or_none_stays_a_line_of_its_own() -> None:
    other = CheckFinding("tracked", "a/.env", "", "Git tracks it.")
    lines, common = summarize([_secret("a/.env", 1, "A"), other, other])
    assert [each.finding.kind for each in lines] == ["secret-in-file", "tracked", "tracked"]
    assert lines[0].text.endswith("Move such values.")
    assert common == {}


def test_many_keys_are_counted() -> None:
    (line,), _ = summarize(_secret("a/.env", number, f"K{number}") for number in range(1, 15))
    assert "14 values" in line.text
    assert "K10 (line 10) and 4 more." in line.text
