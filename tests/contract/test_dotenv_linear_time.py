"""Test that any file is parsed in a time that is linear in its size."""

import signal
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from infisical_iac.dotenv import GRAMMARS, read

# A linear parser reads this in less than a tenth of a second, a quadratic one not in the test's
# minute.
_SIZE = 200_000


class _Shape(NamedTuple):
    """The repeated content of a file, and the text before and after it."""

    before: bytes
    unit: bytes
    after: bytes = b""

    def data(self) -> bytes:
        return self.before + self.unit * (_SIZE // len(self.unit)) + self.after


_SHAPES = {
    "a value in double quotes": _Shape(b'A="', b"x y\n", b'"\n'),
    "a value in single quotes": _Shape(b"A='", b"x #\n", b"'\n"),
    "a value of one line": _Shape(b"A=", b"x"),
    "blanks before a comment": _Shape(b"A=x", b" ", b"# y\n"),
    "assignments of 100 bytes": _Shape(b"", b"A_NAME=" + b"x" * 92 + b"\n"),
    "assignments of 4 bytes": _Shape(b"", b"A=1\n"),
    "references on many lines": _Shape(b"", b"A=$A$A\n"),
    "references in one value": _Shape(b'A="', b"${B:-x}", b'"\n'),
    "references opened in each other": _Shape(b"A=", b"${", b"\n"),
    "defaults opened in each other": _Shape(b"A=", b"${A:-", b"\n"),
    "defaults closed in each other": _Shape(b"A=" + b"${A:-" * (_SIZE // 10), b"}"),
    "single quotes that are not closed": _Shape(b"", b"A='\n"),
    "backslashes in a quote that is not closed": _Shape(b'A="', b"\\", b"\n"),
}


# Repetitions that make careless parsers take quadratic time or worse.
_PATTERNS = [
    b"A=\n", b"x\n", b"#\n", b" ", b"\n", b"=", b"'", b'"', b"`", b"A='\n", b'A="\n', b"A='\\'\n",
    b"\\'", b'\\"', b"\\\\", b"$A", b"${A}", b"${A:-x}", b"${A:-", b"${", b"${:", b"{", b"}", b"$$",
    b"\\$", b" #", b"A=1 ", b"''", b"\0", b"\xff", b"\xe2\x80\xa8", b"\r", b"export ", b"~",
    b"A=$A$A\n",
]  # fmt: skip


@pytest.fixture
def _alarm() -> Iterator[None]:
    """Abort a test that takes too long."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("_alarm")
@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("shape", _SHAPES.values(), ids=list(_SHAPES))
def test_a_large_file_is_parsed_in_time(grammar: str, shape: _Shape) -> None:
    assert read(shape.data(), grammar).grammar == grammar


@pytest.mark.usefixtures("_alarm")
@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("pattern", _PATTERNS, ids=repr)
def test_a_repeated_pattern_is_parsed_in_time(grammar: str, pattern: bytes) -> None:
    repeated = pattern * (_SIZE // 4 // len(pattern))
    for data in (repeated, b"A=" + repeated + b"}", b'A="' + repeated + b'"'):
        assert read(data, grammar).grammar == grammar
