"""Ten megabytes are read or refused in under two seconds, whatever they hold."""

import time
from typing import NamedTuple

import pytest

from infisical_iac.dotenv import GRAMMARS, read

_SIZE = 10_000_000
_MOST_SECONDS = 2.0


class _Shape(NamedTuple):
    """Hold what a file is full of, and what is before and after it."""

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


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("shape", _SHAPES.values(), ids=list(_SHAPES))
def test_ten_megabytes_are_read_or_refused_within_two_seconds(grammar: str, shape: _Shape) -> None:
    data = shape.data()
    took = _seconds(data, grammar)
    if took >= _MOST_SECONDS:  # once more: what else runs here takes caches and memory too
        took = min(took, _seconds(data, grammar))
    assert took < _MOST_SECONDS


def _seconds(data: bytes, grammar: str) -> float:
    begin = time.process_time()
    reading = read(data, grammar)
    took = time.process_time() - begin
    assert reading.grammar == grammar
    return took
