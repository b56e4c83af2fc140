"""The grammar of `.env.local`: `NAME=value` lines, and nothing is expanded."""

from __future__ import annotations

import re

_LINE = re.compile(r"(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*)")


def parse(text: str) -> dict[str, str]:
    """The variables that a text sets; a later line wins, any other line is passed over."""
    lines = (_LINE.fullmatch(line.strip()) for line in text.removeprefix("\ufeff").split("\n"))
    return {line[1]: _unquoted(line[2]) for line in lines if line}


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
