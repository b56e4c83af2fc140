"""The grammar of Docker Compose's env_file (2.26)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from infisical_iac.dotenv.compose_references import References
from infisical_iac.dotenv.escapes import CONTROLS, QUOTED, escapes, unescaped
from infisical_iac.dotenv.model import Entry, Quote
from infisical_iac.dotenv.replacing import note_undefined
from infisical_iac.dotenv.text import Text, after

# What Go counts as white space.
_TRIMMED = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_TRIMMED += "\u200a\u2028\u2029\u202f\u205f\u3000"
_INNER = r"[\t\v\f\r \x85\xa0]"

_UP_TO_STATEMENT = re.compile(rf"(?:[{_TRIMMED}]*+#[^\n]*+)*+[{_TRIMMED}]*+")
_EXPORT = re.compile(rf"(?:export(?=[\t\n\f\r ]){_INNER}*+)?+")
_NAME = re.compile(r"[\w.\-\[\]\t\v\f\r \x85\xa0]*+")
_SPACING = re.compile(rf"{_INNER}*+")
# A dollar is doubled so that it is none of a reference.
_UNESCAPE = escapes({'"': '"', "$": "$$", **CONTROLS})
_UNESCAPE_SINGLE = escapes({"'": "'"})
_OCTAL = re.compile(r"\\0(?:([0-3][0-7]{2})|([0-9]{0,3}))")


def parse(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments of a file, with references replaced in all but single-quoted values."""
    entries = []
    references = References(text, environ)
    position = 0
    while (start := after(_UP_TO_STATEMENT, text.text, position)) < len(text.text):
        key, begin, bare = _name(text, start)
        if bare:
            entry, position = _inherited(text, key, start, begin, environ), begin
        else:
            entry, position = _assignment(text, key, start, begin, references)
        if entry:
            references.values[key] = entry.value
            entries.append(entry)
    return entries


def _refuse(text: Text, position: int, why: str) -> NoReturn:
    message = f"{why}: Compose refuses the whole file."
    text.refuse(position, "refused", message, "Correct the line.")


def _name(text: Text, start: int) -> tuple[str, int, bool]:
    """A statement's name, where its value begins, and whether the name stands alone."""
    begin = after(_EXPORT, text.text, start)
    if begin == len(text.text):
        _refuse(text, start, "An export of nothing")
    end = after(_NAME, text.text, begin)
    key, separator = text.text[begin:end].rstrip(_TRIMMED), text.text[end : end + 1]
    if not separator:
        # Compose takes a name that the file ends with for the value of the name "".
        key, end = "", begin - 1
    elif separator not in "=:\n":
        _refuse(text, start, "A sign that a name can't have")
    if " " in key:
        _refuse(text, start, "A name with a space in it")
    return key, after(_SPACING, text.text, end + 1), separator == "\n"


def _inherited(
    text: Text, key: str, start: int, end: int, environ: Mapping[str, str]
) -> Entry | None:
    message = "The name has no value: Compose hands on that of its own environment, if any."
    text.note(start, "no-value", message, "Give it a value or delete the line.")
    if key not in environ:
        return None
    return replace(text.entry(key, "", start, end, ""), value=environ[key])


def _assignment(
    text: Text, key: str, start: int, begin: int, references: References
) -> tuple[Entry, int]:
    for quote, pattern in QUOTED.items():
        if text.text.startswith(quote, begin):
            quoted = pattern.match(text.text, begin)
            if not quoted:
                _refuse(text, start, "A quote that is not closed")
            written = _unescaped(quoted[1], quote)
            entry = text.entry(key, written, start, quoted.end(), quote)
            return _replaced(text, entry, references), quoted.end()
    line_end = text.text.find("\n", begin)
    line = text.text[begin : line_end if line_end >= 0 else len(text.text)]
    written = line.partition(" #")[0].rstrip(_TRIMMED)
    entry = text.entry(key, written, start, begin + len(written), "")
    return _replaced(text, entry, references), begin + len(line)


def _unescaped(value: str, quote: Quote) -> str:
    if quote == "'":
        return unescaped(value, _UNESCAPE_SINGLE, pair="\\\\")
    return unescaped(value, lambda part: _OCTAL.sub(_character, _UNESCAPE(part)))


def _character(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8)) if octal[1] else "\\" + octal[2]


def _replaced(text: Text, entry: Entry, references: References) -> Entry:
    if entry.quote == "'" or "$" not in entry.written:
        return entry
    value = references.replaced(entry.written, entry.first_line)
    note_undefined(text, entry.first_line, entry.key, references.undefined)
    return replace(entry, value=value)
