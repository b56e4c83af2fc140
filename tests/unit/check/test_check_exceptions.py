"""`.infisical-check.yaml`: what a repository accepts."""

import pytest

from infisical_iac.check.model import NAME, CheckFinding, judge, load
from infisical_iac.core.errors import FileError

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
def test_a_pattern_fits_a_key_a_path_or_a_place(pattern: str, finding: CheckFinding) -> None:
    others = [each for each in (_LEFT, _TRACKED, _READ) if each is not finding]
    judged = judge([*others, finding], {pattern: "a reason"}, NAME)
    assert judged.findings == others
    assert judged.accepted == [(finding, "a reason")]


def test_a_pattern_that_fits_nothing_is_told() -> None:
    [note] = judge([], {"OLD_*": "a reason"}, NAME).findings
    assert (note.place, note.is_note) == (NAME, True)
    assert note.message.startswith("OLD_* ")


def test_without_the_file_nothing_is_accepted() -> None:
    assert load("", NAME) == {}
    assert judge([_LEFT], {}, NAME).findings == [_LEFT]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ignore: {OLD: }", "OLD has no reason: write why it is accepted"),
        ("ignore: [OLD]", "must hold only `ignore:`"),
        ("ignored: {OLD: why}", "must hold only `ignore:`"),
        ("- OLD", "must hold only `ignore:`"),
    ],
)
def test_a_file_that_is_not_what_is_meant_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(FileError, match=sentence):
        load(text, NAME)
