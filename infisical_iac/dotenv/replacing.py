"""Share code between the grammars that replace references."""

from collections.abc import Iterable
from dataclasses import replace

from infisical_iac.dotenv.model import Entry
from infisical_iac.dotenv.text import Text


def with_values(entries: Iterable[Entry], values: dict[str, str]) -> list[Entry]:
    """The entries, the last one of each key with its value after replacing.

    Those before it keep what is written: their parsers replace nothing in what is overwritten.
    """
    last = {entry.key: entry for entry in entries}
    return [
        replace(entry, value=values[entry.key])
        if entry is last[entry.key] and entry.value != values[entry.key]
        else entry
        for entry in entries
    ]


def note_undefined(text: Text, line: int, key: str, count: int) -> None:
    """Adds the finding that names referred to are defined nowhere.

    It doesn't say which: what follows a dollar may as well be a part of a password.
    """
    if count:
        names = "a name that is" if count == 1 else f"{count} names that are"
        message = f"The value refers to {names} not defined: nothing takes its place."
        remedy = "Define it, or quote the dollar as this parser wants it."
        text.add(line, "undefined-reference", message, remedy, key)
