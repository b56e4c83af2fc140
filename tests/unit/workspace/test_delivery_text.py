"""Test that the three login variables are set in a text, and that other lines are kept."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.core.errors import FileError
from infisical_iac.dotenv.reading import read
from infisical_iac.workspace.delivery import with_variables

VARIABLES = {
    "INFISICAL_CLIENT_ID": "client-1",
    "INFISICAL_CLIENT_SECRET": "fake-secret",
    "NODE_ENV": "production",
}
LINES = (
    "INFISICAL_CLIENT_ID='client-1'\nINFISICAL_CLIENT_SECRET='fake-secret'\nNODE_ENV='production'\n"
)


@pytest.mark.parametrize("text", ["", "PORT=80\n", "PORT=80", "# a comment\n\n\n", "KEY='a\nb'\n"])
def test_missing_variables_are_added_at_the_end(text: str) -> None:
    end = "" if text.endswith("\n") or not text else "\n"
    assert with_variables(text, VARIABLES) == f"{text}{end}{LINES}"


def test_each_variable_is_replaced_in_its_place() -> None:
    text = (
        "A=1\n  export NODE_ENV = development # not for long\n"
        'INFISICAL_CLIENT_SECRET="old\nover lines"\nB="x # y"\n'
    )
    assert with_variables(text, VARIABLES) == (
        "A=1\nNODE_ENV='production'\nINFISICAL_CLIENT_SECRET='fake-secret'\nB=\"x # y\"\n"
        "INFISICAL_CLIENT_ID='client-1'\n"
    )


def test_up_to_date_variables_stay_as_written() -> None:
    text = (
        'NODE_ENV=production\nINFISICAL_CLIENT_ID="client-1"\nINFISICAL_CLIENT_SECRET=fake-secret'
    )
    assert with_variables(text, VARIABLES) == text


def test_the_effective_line_of_a_duplicate_variable_is_replaced() -> None:
    made = with_variables(f"NODE_ENV=a\n{LINES}NODE_ENV=b\n", VARIABLES)
    assert made == f"NODE_ENV=a\n{LINES}NODE_ENV='production'\n"


def test_windows_line_ends_of_a_text_are_kept() -> None:
    made = with_variables("A=1\r\nNODE_ENV=x\r\nB=2\r\n", VARIABLES)
    assert made.startswith("A=1\r\nNODE_ENV='production'\r\nB=2\r\nINFISICAL_CLIENT_ID=")


def test_a_name_in_the_value_of_another_is_not_an_assignment() -> None:
    text = "SCRIPT='first\nNODE_ENV=x\nlast'\n"
    assert with_variables(text, VARIABLES) == f"{text}{LINES}"


def test_a_text_that_would_be_read_differently_is_refused() -> None:
    with pytest.raises(FileError, match="an unfinished line") as refused:
        with_variables("PASSWORD=hunter\nKEY:", VARIABLES)
    assert "hunter" not in str(refused.value)


def _others(text: str) -> dict[str, str]:
    values = read(text.encode(errors="replace"), "dotenv").values
    return {key: value for key, value in values.items() if key not in VARIABLES}


_PIECES = st.sampled_from(
    [
        *("A", "NODE_ENV", "INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", "=", "export "),
        *(
            "'",
            '"',
            "`",
            "\n",
            "\r\n",
            "\r",
            " ",
            "#",
            "x",
            "client-1",
            "\\",
            "\ufeff",
            "${A}",
            ": ",
        ),
    ]
)


@given(st.lists(_PIECES, max_size=25).map("".join) | st.text(max_size=60))
def test_login_variables_are_set_in_any_text_and_others_are_unchanged(text: str) -> None:
    try:
        made = with_variables(text, VARIABLES)
    except FileError:
        return
    values = read(made.encode(errors="replace"), "dotenv").values
    assert {key: values[key] for key in VARIABLES} == VARIABLES
    assert _others(made) == _others(text)
    assert with_variables(made, VARIABLES) == made
    before, after = (re.split(r"\r\n?|\n", each) for each in (text, made))
    assert set(after) - set(before) <= {"", *LINES.splitlines()}
