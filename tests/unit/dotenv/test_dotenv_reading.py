"""Test the fields of an entry, and the effect of the environment."""

import pytest

from infisical_iac.dotenv import GRAMMARS, Entry, read


def test_an_entry_keeps_its_lines_its_text_and_its_quote() -> None:
    reading = read(b"# Keys\nexport A=\"l1\nl2\" # note\n\nB=`x`\nC = 'y'\nD=z\n", "dotenv")
    assert reading.entries == (
        Entry("A", "l1\nl2", 'export A="l1\nl2"', 2, 3, '"', "l1\nl2"),
        Entry("B", "x", "B=`x`", 5, 5, "`", "x"),
        Entry("C", "y", "C = 'y'", 6, 6, "'", "y"),
        Entry("D", "z", "D=z", 7, 7, "", "z"),
    )


@pytest.mark.parametrize("grammar", ["dotenv-expand", "next", "python-dotenv", "compose", "shell"])
def test_an_entry_keeps_the_written_text_in_addition_to_the_value(grammar: str) -> None:
    (entry,) = read(b'A="x${HOME}"\n', grammar, {"HOME": "/home/u"}).entries
    assert (entry.value, entry.written, entry.quote) == ("x/home/u", "x${HOME}", '"')


@pytest.mark.parametrize(
    ("grammar", "wins"),
    [("dotenv-expand", "theirs"), ("next", "theirs"), ("compose", "theirs"), ("shell", "ours"),
     ("python-dotenv", "ours")],
)  # fmt: skip
def test_a_reference_is_resolved_in_the_order_of_the_parser(grammar: str, wins: str) -> None:
    reading = read(b"A=ours\nB=${A}\n", grammar, {"A": "theirs"})
    assert reading.values["B"] == wins


@pytest.mark.parametrize(
    ("grammar", "keys"),
    [
        ("dotenv", ["2", "10", "b", "a"]),
        ("node-env-file", ["2", "10", "a", "b"]),
        ("node-env-file-22", ["2", "10", "a", "b"]),
        ("python-dotenv", ["b", "10", "a", "2"]),
        ("compose", ["10", "2", "a", "b"]),
    ],
)
def test_values_are_in_the_order_in_which_the_parser_returns_them(
    grammar: str, keys: list[str]
) -> None:
    assert list(read(b"b=1\n10=1\na=1\n2=1\n", grammar).values) == keys


def test_a_bare_name_removes_its_earlier_value_in_python_dotenv() -> None:
    assert read(b"A=1\nB=2\nA\n", "python-dotenv").values == {"B": "2"}


def test_compose_reads_a_bare_name_from_its_environment() -> None:
    assert read(b"A\nB\n", "compose", {"A": "1"}).values == {"A": "1"}


def test_javascript_expands_double_dollars_in_a_referenced_value() -> None:
    assert read(b"A=x$$-\nB=${A}\n", "dotenv-expand").values["B"] == "x$-"


def test_dotenv_removes_quotes_around_a_line_that_ends_at_a_separator() -> None:
    values = read("A=x\u2028'y'\nB=x\u2028'y\n".encode(), "dotenv").values
    assert values == {"A": "x\u2028y", "B": "x\u2028'y"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A= \nB=1\nC=2\n", {"A": "B=1", "C": "2"}),
        ("A=\nB=1\n", {"A": "", "B": "1"}),
        ("no assignment\nA=1\n", {"A": "1"}),
        ("A=1\nno assignment\nB=2\nthe end", {"A": "1", "B": "2"}),
        ("A=1\n=B=2\n=\nC=3\n=", {"A": "1", "B": "2", "C": "3"}),
        ("\tA\t=\t1\t\n", {"A": "1"}),
        ("export  A=1\nexport B=\n", {"A": "1", "export B": ""}),
        ("A='x", {"A": "'x"}),
        ("A=1\n #B=2\nC='3'\n #D=4\n", {"A": "1", "C": "3", "#D": "4"}),
    ],
)
def test_node_22_reads_odd_lines_by_themselves(text: str, values: dict[str, str]) -> None:
    """The values are those of Node 22.23.5 and 24.22.3, where the grammar of Node 20 differs."""
    assert read(text.encode(), "node-env-file-22").values == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("set -a\nA=1; B=2\nset +a\n", {"A": "1", "B": "2"}),
        ("A=1 B=$A\n", {"A": "1", "B": "1"}),
        ("export A=1 B=$A\n", {"A": "1", "B": ""}),
        ("A=1\nexport A\n", {"A": "1"}),
        ("A=a\\ b'c'\"$HOME\"$'\\t'\n", {"A": "a bc/home/u\t"}),
        ("A=${HOME:+x}${B:-y}${B-}\n", {"A": "xy"}),
        ("A=a\\\nb\n", {"A": "ab"}),
        ("A={a,b}:x~\n", {"A": "{a,b}:x~"}),
        ("PATH=/bin\nA=$PATH\n", {"PATH": "/bin", "A": "/bin"}),
    ],
)
def test_a_shell_file_is_read_without_running_it(text: str, values: dict[str, str]) -> None:
    reading = read(text.encode(), "shell", {"HOME": "/home/u"})
    assert (reading.error, reading.values) == ("", values)


@pytest.mark.parametrize(
    "text",
    [
        "A=~/x", "A=x:~", "A=$1", "A=$$", "A=$(id)", "A=`id`", 'A="`id`"', "A=<(id)", "A=x>y",
        "A=(1 2)", "A+=x", "A[0]=x", "export A={a,b}", "A=$RANDOM", "RANDOM=1", "A=$PATH",
        "A=${B:=x}", "A=${B%x}", "A=${#B}", "A=$'\\x41'", 'A=$"x"', "A=1 id", "id", ". other",
        "A=1 && B=2", "A=1 | id", "A=1 &", "if true; then A=1; fi", "A=\\", "A = 1", "A: 1",
        "A=x\0y", "unset A", "declare A=1", "A=$\\\nB", "\ufeffA=1", "A=${B:-$(id)}",
    ],
)  # fmt: skip
def test_text_that_only_a_shell_can_resolve_is_refused(text: str) -> None:
    reading = read(text.encode(), "shell")
    assert reading.error
    assert reading.values == {}


def test_an_unknown_grammar_is_an_error() -> None:
    with pytest.raises(ValueError, match=f"'ini'.*{GRAMMARS[0]}"):
        read(b"", "ini")


def test_values_and_lines_are_computed_once() -> None:
    reading = read(b"A=fake\nB=fake\nA=other\n", "dotenv")
    assert reading.values is reading.values
    assert reading.lines is reading.lines
    assert reading.lines == {"A": 3, "B": 2}
