"""Test that findings of one cause are printed as one line, and a common remedy once."""

from infisical_iac.check.model import Cause, CheckFinding, summarize

_COUNTED = "{count} values look like secrets"
_PROBLEM = "has a value that looks like a secret."
_REMEDY = "Move such values."


def _secret(file: str, line: int, key: str) -> CheckFinding:
    cause = Cause(file, _COUNTED, _REMEDY)
    message = f"{key} {_PROBLEM} {_REMEDY}"
    return CheckFinding("secret-in-file", f"{file}:{line}", key, message, cause=cause)


def test_the_findings_of_one_file_and_cause_are_one_line() -> None:
    found = [_secret("a/.env", 1, "A"), _secret("a/.env", 7, "B")]
    lines, common = summarize(found)
    assert [(each.finding.kind, each.finding.place, each.text) for each in lines] == [
        (
            "secret-in-file",
            "a/.env",
            f"{_COUNTED.format(count=2)}: A (line 1), B (line 7). {_REMEDY}",
        )
    ]
    assert common == {}


def test_a_remedy_of_several_lines_is_printed_once() -> None:
    found = [_secret("a/.env", 1, "A"), _secret("b/.env", 1, "A"), _secret("b/.env", 2, "B")]
    lines, common = summarize(found)
    assert [each.text for each in lines] == [
        f"A {_PROBLEM}",
        f"{_COUNTED.format(count=2)}: A (line 1), B (line 2).",
    ]
    assert common == {_REMEDY: ["secret-in-file"]}


def test_findings_of_another_cause_or_none_have_lines_of_their_own() -> None:
    other = CheckFinding("tracked", "a/.env", "", "Git tracks it.")
    lines, common = summarize([_secret("a/.env", 1, "A"), other, other])
    assert [each.finding.kind for each in lines] == ["secret-in-file", "tracked", "tracked"]
    assert lines[0].text.endswith(_REMEDY)
    assert common == {}


def test_many_keys_are_counted() -> None:
    (line,), _ = summarize(_secret("a/.env", number, f"K{number}") for number in range(1, 15))
    assert "14 values" in line.text
    assert "K10 (line 10) and 4 more." in line.text
