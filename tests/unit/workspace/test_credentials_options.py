"""Test the warning about secrets on a terminal, and the description of past times."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest

from infisical_iac.cli.credentials import check_disclosure, report_written
from infisical_iac.workspace.credentials import ago
from tests.unit.migrate.cleanable import git


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_disclosure("backend.development", "development", yes=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stdout", _Terminal())
    check_disclosure("backend.development", "development", yes=False)
    assert "client secret" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "notes"), [(".env.local", 0), ("backend.env", 1)], ids=["ignored", "to-be-added"]
)
def test_a_written_file_is_named_with_a_note_if_git_would_add_it(
    name: str, notes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_written(tmp_path / name)
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines()), str(tmp_path / name) in err) == ("", 1, True)
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text(".env.local\n")
    report_written(tmp_path / name)
    assert capsys.readouterr().err.count(".gitignore") == notes


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=23, minutes=59), "23 hours ago"),
        (timedelta(days=400), "400 days ago"),
    ],
)
def test_a_past_time_is_shown_in_its_largest_unit(span: timedelta, text: str) -> None:
    assert ago(span) == text
