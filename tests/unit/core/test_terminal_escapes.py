"""Test that control characters in foreign names are escaped before they reach the terminal."""

import json

import pytest
from rich.table import Table
from rich.text import Text

from infisical_iac.cli.output import show
from infisical_iac.core.change import Change
from infisical_iac.core.errors import CommandFailed
from infisical_iac.core.terminal import console, echo, print_data

# A name that sets the window's title, a color, and clears the screen by an 8-bit control.
_NAME = "a\x1b]0;owned\x07\x1b[31m\x9b2Jb"
_SHOWN = r"a\x1b]0;owned\x07\x1b[31m\x9b2Jb"


def test_text_and_tables_escape_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(show_header=False, show_edge=False, box=None)
    table.add_column()
    table.add_row(_NAME)
    to = console()
    to.print(table)
    to.print(Text(_NAME))
    to.print(_NAME, markup=False)
    echo(_NAME)
    echo(_NAME, err=True)
    printed = capsys.readouterr()
    # rich removes the bell itself, and cuts a cell that became longer.
    cell, *lines = printed.out.splitlines()
    assert cell.strip().startswith(r"a\x1b]0;owned")
    assert lines == [*[_SHOWN.replace(r"\x07", "")] * 2, _SHOWN]
    assert printed.err == f"{_SHOWN}\n"
    assert "\x1b" not in printed.out


def test_the_text_of_an_error_is_escaped() -> None:
    """pyinfra's command line logs errors too, and they may contain answers of a host."""
    assert str(CommandFailed(f"could not look:\n\t{_NAME}")) == f"could not look:\n\t{_SHOWN}"


def test_newlines_and_tabs_of_messages_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    echo("one\n\ttwo")
    assert capsys.readouterr().out == "one\n\ttwo\n"


def test_a_change_is_one_line_even_if_its_name_has_a_newline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show([Change("-", f"x\n+ fake{_NAME}")])
    assert capsys.readouterr().out == f"- x\\n+ fake{_SHOWN}\n"


def test_json_escapes_control_characters_and_keeps_the_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = {"name": f"{_NAME}\u202e\U000e0001", "town": "Köln"}
    print_data(data)
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert "Köln" in printed
    assert json.loads(printed) == data
