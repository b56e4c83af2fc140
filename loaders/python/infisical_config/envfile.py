"""Parse `.env.local`: lines of `NAME=value`, without expansions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONVENTIONAL = re.compile(r"[A-Z_][A-Z0-9_]*")
_LINE = re.compile(r"(?:export\s+)?([^\s=#][^\s=]*)\s*=\s*(.*)")


def parse(text: str) -> dict[str, str]:
    """Return the variables that a text sets. A later line wins; other lines are ignored."""
    lines = (_LINE.fullmatch(line.strip()) for line in text.removeprefix("\ufeff").split("\n"))
    return {line[1]: _unquote(line[2]) for line in lines if line}


def list_for_display(names: Sequence[str]) -> list[str]:
    """Return names that are safe to print; count the others, which may be lines within a key."""
    shown = [name for name in names if _CONVENTIONAL.fullmatch(name)]
    others = len(names) - len(shown)
    return [*shown, f"{others} of another form"] if others else shown


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
