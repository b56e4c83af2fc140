"""Test `.infisical-check.yaml`, which lists the findings that a repository accepts."""

from pathlib import Path

import pytest

from infisical_iac.check.model import NAME, CheckFinding, judge, load
from infisical_iac.core.errors import FileError
from tests.unit.check.checked import GOOD, plant

_LEFT = CheckFinding("left-over", "/backend/OLD_TOKEN", "OLD_TOKEN", "…")
_TRACKED = CheckFinding("tracked", "web/.env", "", "…")
_READ = CheckFinding("missing-key", "web/src/app.js:12", "API_URL", "…")


@pytest.mark.parametrize(
    ("pattern", "finding"),
    [
        ("OLD_*", _LEFT),
        ("/backend/*", _LEFT),
        ("web/.env", _TRACKED),
        ("web/src/app.js", _READ),
        ("API_URL", _READ),
    ],
)
def test_a_pattern_matches_a_key_a_path_or_a_place(pattern: str, finding: CheckFinding) -> None:
    others = [each for each in (_LEFT, _TRACKED, _READ) if each is not finding]
    judged = judge([*others, finding], {pattern: "a reason"}, NAME)
    assert judged.findings == others
    assert judged.accepted == [(finding, "a reason")]


def test_a_pattern_that_matches_no_finding_is_reported() -> None:
    [note] = judge([], {"OLD_*": "a reason"}, NAME).findings
    assert (note.place, note.is_note) == (NAME, True)
    assert note.message.startswith("OLD_* ")


def test_a_file_below_the_checked_directory_is_reported_as_not_read(tmp_path: Path) -> None:
    text = "ignore: {OLD_*: a reason}\n"
    repository = plant(tmp_path, GOOD | {NAME: text, f"backend/{NAME}": text})
    [note] = [each for each in repository.files() if each.kind == "unused-exception"]
    assert (note.place, note.is_note) == (f"backend/{NAME}", True)
    assert str(tmp_path) in note.message


def test_no_finding_is_accepted_without_the_file() -> None:
    assert load("", NAME) == {}
    assert judge([_LEFT], {}, NAME).findings == [_LEFT]


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        ("ignore: {OLD: }", "file.no_reason", "OLD"),
        ("ignore: [OLD]", "file.exceptions", "`ignore:`"),
        ("ignored: {OLD: why}", "file.exceptions", "`ignore:`"),
        ("- OLD", "file.exceptions", "`ignore:`"),
    ],
)
def test_a_malformed_file_is_refused(text: str, code: str, fact: str) -> None:
    with pytest.raises(FileError, match=rf"^{NAME}\b.* {fact}") as refused:
        load(text, NAME)
    assert refused.value.code == code
