"""The grammar of npm dotenv (16, 17 and 18), which Next.js shares."""

import re
from collections.abc import Mapping

from infisical_iac.dotenv.model import Entry, Quote
from infisical_iac.dotenv.text import Text, after

# What JavaScript counts as white space, and which of it ends a line.
_SPACES = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_TRIMMED = _SPACES.replace("\u2000-\u200a", "".join(map(chr, range(0x2000, 0x200B))))
_ENDS = "\n\u2028\u2029"
_SPACE, _INNER = f"[{_SPACES}]", f"(?:(?![{_ENDS}])[{_SPACES}])"

_UP_TO_STATEMENT = re.compile(f"(?:{_SPACE}*+#[^{_ENDS}]*+)*+{_SPACE}*+")
_NAME = re.compile(
    rf"(?:export{_SPACE}++(?=[\w.-]))?+([\w.-]++)(?:{_SPACE}*+=|:{_SPACE})", re.ASCII
)
_SPACING = re.compile(f"{_SPACE}*+")
_PLAIN = re.compile(r"[^#\n]*+")
_LINE_END = re.compile(f"[{_ENDS}]")
# After a value: white space over lines, up to a comment, the end, or the last end of a line.
_TAIL = re.compile(rf"{_SPACE}*+(?:#[^{_ENDS}]*+|\Z)|{_SPACE}*(?=[{_ENDS}])")

_CLOSING = {quote: re.compile(rf"(?<!\\){quote}") for quote in "'\"`"}
_LAST_ESCAPED = {
    quote: re.compile(rf".*\\{quote}(?={_INNER}*+(?:[{_ENDS}#]|\Z))", re.DOTALL) for quote in "'\"`"
}


def parse(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments of a file; lines that are none are ignored."""
    entries: list[Entry] = []
    position = 0
    while True:
        start = after(_UP_TO_STATEMENT, text.text, position)
        if start == len(text.text):
            return entries
        name = _NAME.match(text.text, start)
        if not name or name[1] == "__proto__":
            message = "The line is no assignment that dotenv knows: it is ignored without a word."
            text.note(start, "unreadable-line", message, "Correct or delete the line.")
        if not name:
            line_end = _LINE_END.search(text.text, start)
            position = line_end.end() if line_end else len(text.text)
            continue
        end = _end_of_quoted(text.text, name.end()) or _end_of_plain(text, name)
        if name[1] != "__proto__":
            entries.append(_entry(text, name, end))
        position = after(_TAIL, text.text, end)


def _end_of_quoted(text: str, position: int) -> int | None:
    """Where a quoted value ends: nothing but a comment may follow it on its line."""
    opening = after(_SPACING, text, position)
    quote = text[opening : opening + 1]
    if quote not in _CLOSING:
        return None
    closing = _CLOSING[quote].search(text, opening + 1)
    if closing and _TAIL.match(text, closing.end()):
        return closing.end()
    # A quote after a backslash closes the value as well if nothing better does.
    last = closing.end() if closing else len(text)
    escaped = _LAST_ESCAPED[quote].match(text, opening + 1, last)
    return escaped.end() if escaped else None


def _end_of_plain(text: Text, name: re.Match[str]) -> int:
    end = after(_PLAIN, text.text, name.end())
    value = text.text[name.end() : end].strip(_TRIMMED)
    if text.text[end : end + 1] == "#" and text.text[end - 1] not in _TRIMMED:
        message = "The value is cut at the #, which needs no space before it here."
        text.note(name.start(), "cut-at-hash", message, "Quote the value.", name[1])
    if value[:1] in _CLOSING and not _wrapped(value):
        message = "The value's quote is not closed, or more follows: the quote is a part of it."
        text.note(name.start(), "unclosed-quote", message, "Correct the quotes.", name[1])
    return end


def _entry(text: Text, name: re.Match[str], end: int) -> Entry:
    value = text.text[name.end() : end].strip(_TRIMMED)
    double = value.startswith('"')
    quote = _wrapped(value)
    if quote:
        value = value[1:-1]
    if double:
        value = value.replace("\\n", "\n").replace("\\r", "\r")
    return text.entry(name[1], value, name.start(), end, quote)


def _wrapped(value: str) -> Quote:
    for quote in ("'", '"', "`"):
        if len(value) > 1 and value[0] == value[-1] == quote:
            return quote
    return ""
