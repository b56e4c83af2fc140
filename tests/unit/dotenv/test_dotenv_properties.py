"""Test properties of all files: written values are read back, and no bytes break a reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_iac.dotenv import GRAMMARS, read
from infisical_iac.dotenv.text import Entry
from tests.unit.dotenv.writers import EITHER_LINE_END, LINE_ENDS, PARTS, Style, write

# An entry's value, its text, and its first and last line.
Expected = tuple[str, str, int, int]

_SIGNS = "\\'\"`$#{}=:~ \t\n\r\f\xa0\ufeff\u2028\0ab1é"
_VALUES = st.text(st.sampled_from(_SIGNS) | st.characters(exclude_categories=["Cs"]), max_size=12)
_SIMPLE_VALUES = st.text("ab1é./:@=\\$# ", max_size=12)
_STYLES = st.builds(
    Style,
    is_quoted=st.booleans(),
    is_exported=st.booleans(),
    has_comment=st.booleans(),
    above=st.lists(st.sampled_from(["", "# a comment", "#K=1", '# it\'s "one"']), max_size=2),
)
_KEYS = st.from_regex(r"K[A-Z0-9_]{0,8}", fullmatch=True)

_TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map(lambda parts: "".join(parts).encode())
_BYTES = st.binary(max_size=60) | _TEXTS | st.tuples(_TEXTS, st.binary(max_size=3)).map(b"".join)


@pytest.mark.parametrize("grammar", GRAMMARS)
@given(st.data())
def test_the_output_of_a_grammars_writer_is_read_back_unchanged(
    grammar: str, data: st.DataObject
) -> None:
    drawn = data.draw(
        st.dictionaries(_KEYS, st.tuples(_VALUES | _SIMPLE_VALUES, _STYLES), max_size=4)
    )
    line_end = data.draw(st.sampled_from(LINE_ENDS.get(grammar, EITHER_LINE_END)))
    lines: list[str] = []
    expected: dict[str, Expected] = {}
    for key, (value, style) in drawn.items():
        if written := write(grammar, key, value, style):
            lines += style.above
            first = 1 + sum(1 + line.count("\n") for line in lines)
            expected[key] = value, written[0].rstrip(), first, first + written[0].count("\n")
            lines.append(written[1])
    reading = read("".join(line + line_end for line in lines).encode(), grammar)

    assert reading.error == ""
    assert {entry.key: _as_expected(entry) for entry in reading.entries} == expected
    assert reading.values == {key: value for key, (value, *_) in expected.items()}


def _as_expected(entry: Entry) -> Expected:
    # Each grammar decides whether `export` and trailing blanks are part of the text.
    raw = entry.raw.removeprefix("export ").rstrip()
    return entry.value, raw, entry.first_line, entry.last_line


@pytest.mark.parametrize("grammar", GRAMMARS)
@given(data=_BYTES, environ=st.dictionaries(st.sampled_from("AB"), _VALUES))
def test_any_bytes_are_read_or_refused(grammar: str, data: bytes, environ: dict[str, str]) -> None:
    reading = read(data, grammar, environ)
    last_line = data.count(b"\n") + data.count(b"\r") + 1
    assert set(reading.values) == {entry.key for entry in reading.entries}
    assert not (reading.error and reading.entries)
    assert not reading.error or reading.error in {each.message for each in reading.findings}
    assert all(1 <= finding.line <= last_line for finding in reading.findings)
    assert all(1 <= each.first_line <= each.last_line <= last_line for each in reading.entries)
