"""The grammar of `.env.local`: `NAME=value` lines, and nothing is expanded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONVENTIONAL = re.compile(r"[A-Z_][A-Z0-9_]*")
_LINE = re.compile(r"(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*)")


def parse(text: str) -> dict[str, str]:
    """The variables that a text sets; a later line wins, any other line is passed over."""
    lines = (_LINE.fullmatch(line.strip()) for line in text.removeprefix("\ufeff").split("\n"))
    return {line[1]: _unquoted(line[2]) for line in lines if line}


def told(names: Sequence[str]) -> list[str]:
    """Names as they may be shown: what has not the form of one may be a line amid a key."""
    shown = [name for name in names if _CONVENTIONAL.fullmatch(name)]
    others = len(names) - len(shown)
    return [*shown, f"{others} of another form"] if others else shown


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
