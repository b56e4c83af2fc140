"""Test that problems of a file are found, with their line and without any value."""

import re

import pytest

from infisical_iac.dotenv import GRAMMARS, Finding, Reading, read

_NPM = ("dotenv", "dotenv-expand", "next")
_NODE = ("node-env-file", "node-env-file-22")
# A fake value; no finding may contain it.
_SECRET = "obviously-fake"


def _findings(data: str | bytes, grammar: str) -> tuple[Finding, ...]:
    return read(data if isinstance(data, bytes) else data.encode(), grammar).findings


def _kinds(data: str | bytes, grammar: str) -> list[tuple[int, str, str]]:
    return [(finding.line, finding.kind, finding.key) for finding in _findings(data, grammar)]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_an_ordinary_file_has_no_findings(grammar: str) -> None:
    data = "# Settings\nexport A=1\n\nB='two words' # a note\nC=\"l1\nl2\"\nD=\n"
    assert _kinds(data, grammar) == []
    assert _kinds(data + "# the end", grammar) == []


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16_is_found(grammar: str, encoding: str) -> None:
    first = _kinds("A=1\nB=2\n".encode(encoding), grammar)[0]
    assert first == (1, "utf-16", "")


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_bytes_that_are_not_utf_8_are_found_with_their_line(grammar: str) -> None:
    assert _kinds(b"A=1\nB='caf\xe9'\n", grammar) == [(2, "invalid-utf-8", "")]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_byte_order_mark_is_found(grammar: str) -> None:
    assert _kinds(b"\xef\xbb\xbfA=1\n", grammar) == [(1, "bom", "")]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_key_that_is_assigned_twice_is_found_where_it_is_overwritten(grammar: str) -> None:
    reading = read(b"A=1\nB=2\nA=3\n", grammar)
    assert [(finding.line, finding.kind, finding.key) for finding in reading.findings] == [
        (3, "duplicate-key", "A")
    ]
    assert "line 1" in reading.findings[0].message
    assert reading.values == {"A": "3", "B": "2"}


@pytest.mark.parametrize("grammar", ["dotenv-expand", "next", "python-dotenv", "compose", "shell"])
def test_references_and_undefined_names_are_found(grammar: str) -> None:
    assert _kinds("A=1\nB=x${A}\n", grammar) == [(2, "interpolated", "B")]
    assert _kinds("B=x${A}\n", grammar) == [
        (1, "undefined-reference", "B"),
        (1, "interpolated", "B"),
    ]
    assert _kinds("B=x${A:-1}\n", grammar) == [(1, "interpolated", "B")]


@pytest.mark.parametrize(
    ("grammar", "named", "escaped"),
    [
        ("dotenv-expand", r"\$", r"x\${A}"),
        ("next", r"\$", r"x\${A}"),
        ("compose", "single quotes", "'x${A}'"),
        ("shell", "single quotes", "'x${A}'"),
    ],
)
def test_the_escape_that_a_finding_names_keeps_the_dollar(
    grammar: str, named: str, escaped: str
) -> None:
    undefined = read(b"B=x${A}\n", grammar).findings[0]
    assert named in undefined.remedy
    assert read(f"B={escaped}\n".encode(), grammar).values == {"B": "x${A}"}


@pytest.mark.parametrize("grammar", ["dotenv", *_NODE, "python-dotenv-raw"])
def test_a_dollar_that_the_grammar_does_not_expand_is_not_a_finding(grammar: str) -> None:
    assert _kinds("B=x${A}$A\n", grammar) == []


@pytest.mark.parametrize(
    ("grammar", "data", "found"),
    [
        *((grammar, "A=1\nno assignment\n", (2, "unreadable-line", "")) for grammar in _NPM),
        *((grammar, "A=pa#ss\n", (1, "cut-at-hash", "A")) for grammar in _NPM),
        *((grammar, "A=#ss\n", (1, "cut-at-hash", "A")) for grammar in _NPM),
        *((grammar, "A='x\n", (1, "unclosed-quote", "A")) for grammar in _NPM),
        *((grammar, "A='x' y\n", (1, "unclosed-quote", "A")) for grammar in _NPM),
        ("next", "\nA=${A}\n", (2, "endless-reference", "A")),
        ("node-env-file", "A=1\nno assignment\n", (2, "unreadable-line", "")),
        ("node-env-file", "no assignment\nA=1\n", (1, "glued-name", "")),
        ("node-env-file", "A=1\n=2\nB=3\n", (2, "unreadable-line", "")),
        *((grammar, "A='x'y\n", (1, "text-after-quote", "A")) for grammar in _NODE),
        *((grammar, "A=pa#ss\n", (1, "cut-at-hash", "A")) for grammar in _NODE),
        *((grammar, "A=#ss\n", (1, "cut-at-hash", "A")) for grammar in _NODE),
        *((grammar, "A='x\n", (1, "unclosed-quote", "A")) for grammar in _NODE),
        *((grammar, "A='x=1", (1, "unclosed-quote", "A")) for grammar in _NODE),
        ("node-env-file-22", "A=1\nno assignment\nB=2\n", (2, "unreadable-line", "")),
        ("node-env-file-22", "A=1\n=2\nB=3\n", (2, "unreadable-line", "")),
        ("node-env-file-22", "A=1\nexport B=\n", (2, "glued-name", "")),
        ("node-env-file-22", "A= \nB=1\n", (1, "glued-value", "A")),
        ("python-dotenv", "A=1\nno assignment\n", (2, "unreadable-line", "")),
        ("python-dotenv", "A='x\nB=1\n", (1, "unreadable-line", "")),
        ("python-dotenv", "A=1\nNAME\n", (2, "no-value", "")),
        ("compose", "A=1\nNAME\n", (2, "no-value", "")),
        ("compose", "A=1\nno assignment\n", (2, "refused", "")),
        ("compose", "A='x\n", (1, "refused", "")),
        ("compose", "\nA=${B:?}\n", (2, "refused", "")),
        ("compose", "A='x\r\ny'\r\n", (1, "carriage-return", "A")),
        ("shell", "A=x\r\n", (1, "carriage-return", "A")),
        ("shell", "A=1\necho x\n", (2, "refused", "")),
        ("shell", "A=$(id)\n", (1, "refused", "")),
        ("shell", "A=1\nB=`id`\n", (2, "refused", "")),
        ("shell", "A=1\nB='x\n", (2, "refused", "")),
    ],
)
def test_a_line_that_a_parser_reads_wrongly_is_found(
    grammar: str, data: str, found: tuple[int, str, str]
) -> None:
    assert _kinds(data, grammar) == [found]


@pytest.mark.parametrize("grammar", [*_NPM, *_NODE])
@pytest.mark.parametrize(
    ("data", "cut", "whole"),
    [
        ("A=pa#ss\n", 2, 5),
        ("A=#ss", 0, 3),
        ("A= pa#ss # a comment\nB=1\n", 2, 5),
        ("A=pa#ss#more \n", 2, 10),
    ],
)
def test_the_finding_on_a_cut_value_has_the_cut_and_the_whole_length(
    grammar: str, data: str, cut: int, whole: int
) -> None:
    (finding,) = _findings(data, grammar)
    assert finding.kind == "cut-at-hash"
    assert [int(each) for each in re.findall(r"\d+", finding.message)] == [cut, whole]


@pytest.mark.parametrize("grammar", sorted({*GRAMMARS} - {"compose", "shell"}))
def test_a_key_of_several_lines_without_quotes_is_found(grammar: str) -> None:
    data = "A=-----BEGIN PRIVATE KEY-----\nobviously=fake\n-----END PRIVATE KEY-----\n"
    assert (1, "cut-at-line-end", "A") in _kinds(data, grammar)


@pytest.mark.parametrize(
    ("grammar", "data"),
    [
        ("dotenv-expand", "A0=x\n" + "".join(f"A{n + 1}=$A{n}$A{n}\n" for n in range(60))),
        ("dotenv-expand", "A=x$B\n"),
        ("python-dotenv", "A0=x\n" + "".join(f"A{n + 1}=${{A{n}}}${{A{n}}}\n" for n in range(60))),
        ("compose", "A0=x\n" + "".join(f"A{n + 1}=$A{n}$A{n}\n" for n in range(60))),
        ("shell", "A0=x\n" + "".join(f"A{n + 1}=$A{n}$A{n}\n" for n in range(60))),
        ("dotenv", "A=1\n" * 250_000),
    ],
)
def test_a_file_that_would_take_too_long_is_refused(grammar: str, data: str) -> None:
    reading = read(data.encode(), grammar, {"B": "y$B"})
    assert reading.error
    assert reading.findings[-1].kind == "too-much"
    assert reading.values == {}


_BROKEN = [
    f"A={_SECRET}#x",
    f"A='{_SECRET}",
    f"{_SECRET}",
    f"A=1\n{_SECRET}\nB=2",
    f"A=x${_SECRET}",
    f"A=${{{_SECRET}}}",
    f"A=${{A{_SECRET}",
    f"A=${{B:?{_SECRET}}}",
    f"A='x'{_SECRET}",
    f"A={_SECRET}\nA={_SECRET}",
    f"A=-----BEGIN\n{_SECRET}\n-----END",
    f"A=$({_SECRET})",
    f"={_SECRET}",
    f"A={_SECRET} $A $(x) `",
]


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("data", _BROKEN)
def test_no_finding_and_no_repr_shows_a_value(grammar: str, data: str) -> None:
    reading = read(data.encode(), grammar)
    shown: list[Reading | Finding] = [reading, *reading.findings]
    keys = "".join(entry.key for entry in reading.entries)
    if _SECRET not in keys:
        assert not any(_SECRET in repr(each) for each in shown)
    assert not any(_SECRET in each.message + each.remedy for each in reading.findings)
