"""The text of variables that Dokploy keeps for a service, with ours in it."""

import re
from collections.abc import Mapping

from infisical_iac.core.errors import UserError
from infisical_iac.dotenv.model import Entry
from infisical_iac.dotenv.reading import read

# What Dokploy reads the text with.
_GRAMMAR = "dotenv"
_LINE_END = re.compile(r"(\r\n?|\n)")


class TextError(UserError):
    """The text can't take our variables without a change to others."""


def with_variables(text: str, wanted: Mapping[str, str]) -> str:
    """The text in which some variables have the wanted values, and all else is as it was.

    Each is set in its own line, single-quoted, where it stands now, or at the end; a variable
    that has its value already is left as it is written, so the same text comes back if all have.

    Args:
        wanted: values without single quotes and line ends.

    Raises TextError if another variable would be read differently then.
    """
    there = {entry.key: entry for entry in _entries(text) if entry.key in wanted}
    due = {key: value for key, value in wanted.items() if _differs(there.get(key), value)}
    lines = _LINE_END.split(text)  # with what ends each of them behind it
    for entry in sorted((there[key] for key in due if key in there), key=_first, reverse=True):
        lines[2 * entry.first_line - 2 : 2 * entry.last_line - 1] = [_line(entry.key, due)]
    made = "".join(lines)
    if made and not made.endswith(("\n", "\r")) and due.keys() - there.keys():
        made += "\n"
    made += "".join(f"{_line(key, due)}\n" for key in due if key not in there)
    if due and _values(made) != {**_values(text), **wanted}:
        raise TextError(
            "its variables can't be added to without changing how others are read: look for a "
            "line that is not finished, such as one with a quote that is not closed"
        )
    return made


def _differs(entry: Entry | None, value: str) -> bool:
    return entry is None or entry.value != value


def _first(entry: Entry) -> int:
    return entry.first_line


def _line(key: str, values: Mapping[str, str]) -> str:
    return f"{key}='{values[key]}'"


def _entries(text: str) -> tuple[Entry, ...]:
    # What JSON may hold and UTF-8 may not is no part of a name or of our values.
    return read(text.encode(errors="replace"), _GRAMMAR).entries


def _values(text: str) -> dict[str, str]:
    return {entry.key: entry.value for entry in _entries(text)}
