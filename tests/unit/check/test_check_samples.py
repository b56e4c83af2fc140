"""Test that samples such as `.env.example` are kept up to date with the keys that code reads."""

from pathlib import Path

import pytest

from infisical_iac.check.usage import MARK, Sample, find_outdated, synchronize, write_samples
from tests.unit.check.checked import GOOD, plant

_SAMPLE = """\
# The database. Ask Ada.
DATABASE_URL=postgres://localhost/app   # local

export OLD="two
lines"
PORT=3000
# LEVEL=info
"""
_WANTED = ["DATABASE_URL", "LEVEL", "TOKEN"]


def _sync(text: str, wanted: list[str], *more: str, is_sure: bool = True) -> Sample:
    found = synchronize("x", text.encode(), wanted, {*wanted, *more}, is_sure=is_sure)
    assert found
    return found


def test_comments_and_order_stay_and_missing_names_come_last() -> None:
    found = _sync(_SAMPLE, _WANTED)
    assert found.text.splitlines() == [
        "# The database. Ask Ada.",
        "DATABASE_URL=postgres://localhost/app   # local",
        "",
        f'{MARK}export OLD="two',
        f'{MARK}lines"',
        "PORT=3000",  # the platform sets it
        "# LEVEL=info",  # somebody has commented it out
        "TOKEN=",
    ]
    assert (found.missing, found.unread) == (["TOKEN"], ["OLD"])
    again = _sync(found.text, _WANTED)
    assert (again.text, again.missing, again.unread) == (found.text, [], [])


def test_the_mark_is_removed_from_a_key_that_code_reads_again() -> None:
    marked = _sync(_SAMPLE, _WANTED).text
    back = _sync(marked, [*_WANTED, "OLD"])
    assert back.text == _SAMPLE + "TOKEN=\n"
    assert (back.missing, back.unread) == ([], [])


def test_nothing_is_marked_if_code_may_read_any_key() -> None:
    assert _sync(_SAMPLE, _WANTED, is_sure=False).unread == []
    assert _sync(_SAMPLE, _WANTED, "OLD").unread == []


@pytest.mark.parametrize("text", ["A=1", "A=1\r\nOLD=2\r\n", ""])
def test_line_ends_are_kept(text: str) -> None:
    found = _sync(text, ["A", "B"])
    end = "\r\n" if "\r\n" in text else "\n"
    assert found.text.endswith(f"B={end}")
    assert found.text.count("\n") == found.text.count(end)
    assert _sync(found.text, ["A", "B"]).text == found.text


@pytest.mark.parametrize("data", [b"\xff\xfe", b"A=1\rOLD=2\r", b"A=1\r\r\nOLD=2\r\r\n"])
def test_a_binary_file_and_a_file_with_other_line_ends_are_not_changed(data: bytes) -> None:
    assert synchronize("x", data, ["A"], {"A"}) is None


def test_a_line_within_a_value_is_not_taken_for_a_key() -> None:
    text = "OLD='\nA=1\n'\nA=\n"
    marked = _sync(text, ["A"])
    assert marked.text == f"{MARK}OLD='\n{MARK}A=1\n{MARK}'\nA=\n"
    assert _sync(marked.text, ["A"]).text == marked.text
    assert _sync(marked.text, ["A"], "OLD").text == text


def test_a_link_is_not_changed(tmp_path: Path) -> None:
    """Writing to the path would replace the link by a separate file."""
    files = {"backend/src/app.js": "use(process.env.TOKEN);", "all/.env.example": "A=\n"}
    plant(tmp_path, GOOD | files, git=False)
    sample = tmp_path / "backend/.env.example"
    sample.unlink()
    sample.symlink_to("../all/.env.example")
    assert [*plant(tmp_path, {}, git=False).find_samples()] == []


def test_samples_of_services_are_reported_and_written(tmp_path: Path) -> None:
    code = "use(process.env.DATABASE_URL, process.env.NODE_ENV, process.env.TOKEN ?? 1);"
    files = {
        "backend/src/app.js": code,
        "backend/test/app.test.js": "use(process.env.ONLY_TESTED);",
        "backend/.env.example": "# ours\nDATABASE_URL=\nOLD=\nINFISICAL_DOMAIN=\n",
        "backend/.env.local.example": "INFISICAL_CLIENT_ID=\n",
        "backend/.env.production.example": "OLD=\n",
        "docs/.env.example": "OLD_DOCS=\n",
    }
    repository = plant(tmp_path, GOOD | files, git=False)
    (note,) = find_outdated(repository.find_samples())
    assert (note.kind, note.place, note.is_note) == ("sample-file", "backend/.env.example", True)
    assert "TOKEN" in note.message
    (tmp_path / "backend/.env.example").chmod(0o640)
    (written,) = write_samples(tmp_path, repository.find_samples())
    assert written.read_text() == f"# ours\nDATABASE_URL=\n{MARK}OLD=\nINFISICAL_DOMAIN=\nTOKEN=\n"
    assert written.stat().st_mode & 0o777 == 0o640
    assert [*repository.find_samples()] == []
