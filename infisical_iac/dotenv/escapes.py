"""Quoted values, and the backslashes in them."""

import re
from collections.abc import Callable, Mapping

from infisical_iac.dotenv.model import Quote

# A value in quotes that are closed; after a backslash a quote is a part of it.
QUOTED: dict[Quote, re.Pattern[str]] = {
    "'": re.compile(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL),
    '"': re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL),
}

# What follows a backslash in the double quotes of most languages.
CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescaped(value: str, unescape: Callable[[str], str], pair: str = "\\") -> str:
    """The value with each two backslashes read as `pair`, and what is between them unescaped."""
    parts = value.split("\\\\")
    return pair.join(unescape(part) if "\\" in part else part for part in parts)


def escapes(meanings: Mapping[str, str]) -> Callable[[str], str]:
    """Return what reads a backslash and a character as the meaning of that; other backslashes
    stay.
    """

    def unescape(part: str) -> str:
        for escaped, meaning in meanings.items():
            part = part.replace("\\" + escaped, meaning)
        return part

    return unescape
