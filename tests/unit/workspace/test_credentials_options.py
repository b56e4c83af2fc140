"""Test the warning about secrets on a terminal, and the description of past times."""

from datetime import timedelta
from io import StringIO

import pytest

from infisical_iac.cli.credentials import check_disclosure
from infisical_iac.workspace.credentials import ago


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
