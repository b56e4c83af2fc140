"""The grammar of Next.js: npm dotenv's, and references replaced from the last one to the first."""

import re
from collections.abc import Mapping

from infisical_iac.dotenv.grammars import npm
from infisical_iac.dotenv.javascript import replaced
from infisical_iac.dotenv.model import Entry, Finding
from infisical_iac.dotenv.order import in_order
from infisical_iac.dotenv.replacing import note_undefined, with_values
from infisical_iac.dotenv.text import Refused, Text

_UP_TO_LAST_DOLLAR = re.compile(r"(?s:.*)(?<!\\)(?=\$)")
_REFERENCE = re.compile(r"\$\{?(\w+)(?::-([^}\\]*))?\}?", re.ASCII)

# Next.js calls itself for each reference until the stack is full, then ignores the whole file.
_DEEPEST = 9_000


def parse(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments, with references replaced by values of the environment or of the file."""
    entries = npm.parse(text, environ)
    lines = {entry.key: entry.first_line for entry in entries}
    values = in_order("next", {entry.key: entry.written for entry in entries})
    for key, value in values.items():
        expanded = _expanded(text, key, environ.get(key, value), lines[key], environ, values)
        values[key] = expanded.replace("\\$", "$")
    return with_values(entries, values)


def _expanded(
    text: Text,
    key: str,
    value: str,
    line: int,
    environ: Mapping[str, str],
    values: Mapping[str, str],
) -> str:
    undefined = 0
    for _ in range(_DEEPEST):
        last = _UP_TO_LAST_DOLLAR.match(value)
        reference = last and _REFERENCE.match(value, last.end())
        if not reference:
            note_undefined(text, line, key, undefined)
            return value
        name, default = reference.groups()
        undefined += name not in environ and name not in values and default is None
        found = environ.get(name) or default or values.get(name, "")
        value = replaced(value, reference[0], found)
        text.replacing(value, line)
    message = f"{key} refers to itself, or has too many references: Next.js ignores the whole file."
    raise Refused(Finding(line, "endless-reference", key, message, "Write its value in full."))
