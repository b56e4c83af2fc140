"""The grammars of Node's own --env-file (and util.parseEnv): of Node 20, and of 22.16 and later.

Both were compared with the real parsers: `tests/unit/dotenv/test_dotenv_fuzz.py` does it again.
"""

import re
from collections.abc import Mapping
from typing import ClassVar

from infisical_iac.dotenv.grammar import OPTION, Command, Grammar
from infisical_iac.dotenv.text import Entry, Quote, Text, after, as_object, note_cut_at_hash

_COMMENTS = re.compile(r"(?:\n|#[^\n]*\n)*+")
_SPACES = re.compile(r" *+")
_REST_OF_LINE = re.compile(r"[ \t]*+(?:#|\n|\Z)")
_QUOTES: tuple[Quote, ...] = ("'", '"', "`")

# What Node trims since 22.16, also over line ends.
_BLANKS = " \t\n"
_SPACING = re.compile(r"[ \t\n]*+")
_EQUALS_OR_END = re.compile(r"[=\n]")


class _OfNode(Grammar):
    """The decoding and order of Node, for both grammars here."""

    _mark = "The byte order mark becomes a part of the first name."
    _keeps_mark = True

    def order(self, values: dict[str, str]) -> dict[str, str]:
        return as_object(dict(sorted(values.items())))

    def _lines(self, text: str) -> str:
        return text.replace("\r", "")


class NodeEnvFile(_OfNode):
    """The grammar of `node --env-file`, process.loadEnvFile and util.parseEnv in Node 20.20.

    Earlier releases, 22.0 to 22.15, and 23 read some odd lines differently; of the two grammars
    here, this one is the closest to them.
    """

    name = "node-env-file"
    place = 3
    node_calls = (("process", "loadEnvFile"), ("util", "parseEnv"))
    mentions = (r"\bloadEnvFile\b",)
    commands = (
        Command(re.compile(rf"\b(?:node|tsx|nodemon)\b{OPTION}"), "gives it to node --env-file"),
    )
    by_release: ClassVar = (
        ((22, 16), "node-env-file-22"),
        ((23, 0), "node-env-file"),
        ((24, 0), "node-env-file-22"),
    )

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        entries = []
        # Node trims only spaces before the first name and after the last value.
        content = text.text.rstrip(" ")
        position = after(_SPACES, content, 0)
        while (start := after(_COMMENTS, content, position)) < len(content):
            equals = content.find("=", start)
            if equals < 0:
                if content[start:].lstrip()[:1] not in ("", "#"):
                    message = "No = follows: Node silently ignores this line and all after it."
                    text.note(start, "unreadable-line", message, "Correct or delete these lines.")
                break
            if equals == start:
                message = "Node stops at a line that begins with =: all after it is ignored."
                text.note(start, "unreadable-line", message, "Delete the line.")
                break
            key = _key(text, start, content[start:equals])
            entry, position = _read_assignment(text, content, key, start, equals + 1)
            if entry and key != "__proto__":
                entries.append(entry)
        return entries


def _key(text: Text, start: int, written: str) -> str:
    # If a name is only spaces, Node reads the character before them.
    key = (written.strip(" ") or "\n").removeprefix("export ")
    if "\n" in key:
        message = "A line without = becomes a part of the name on the next line, which is lost."
        text.note(start, "glued-name", message, "Correct or delete the line.")
    return key


def _read_assignment(
    text: Text, content: str, key: str, start: int, position: int
) -> tuple[Entry | None, int]:
    """Return the assignment whose value begins at a position, and the position of the next one."""
    begin = after(_SPACES, content, position)
    if not content.startswith(_QUOTES, begin):
        return _read_plain(text, content, key, start, begin, " ")
    if quoted := _read_quoted(text, content, key, start, begin):
        return quoted
    end = _line_end(content, begin)
    is_read = end < len(content)
    happens = "the quote is a part of it" if is_read else "Node does not read it"
    _note_unclosed(text, key, start, happens)
    return (
        (text.entry(key, content[begin:end], start, end, ""), end + 1) if is_read else (None, begin)
    )


class NodeEnvFile22(_OfNode):
    """The grammar of the same in Node 22.16 and later, 24 and 26.

    Node 26 differs in one thing, which no process can hold: util.parseEnv has a key `__proto__`.
    """

    name = "node-env-file-22"
    place = 8

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        entries = []
        content = text.text.rstrip(_BLANKS)
        position = after(_SPACING, content, 0)
        noted = 0  # the end of the line of the last finding
        while (start := position) < len(content):
            if content[start] in "\n#":
                position = _line_end(content, start) + 1
                continue
            sign = _EQUALS_OR_END.search(content, start)
            if not sign or sign[0] == "\n":
                if start >= noted:
                    message = "No = in this line: Node ignores it."
                    text.note(start, "unreadable-line", message, "Correct or delete the line.")
                position = after(_SPACING, content, sign.end()) if sign else len(content)
                continue
            key = content[start : sign.start()].strip(_BLANKS)
            if not key and start >= noted:
                message = "Node ignores the = that begins this line, and reads on after it."
                text.note(start, "unreadable-line", message, "Delete the line.")
                noted = _line_end(content, start)
            if _line_end(content, sign.end()) == sign.end():
                entry, position = _read_empty(text, key, start, sign.end())
            else:
                position = after(_SPACING, content, sign.end())
                if not key:
                    continue
                entry, position = _read_spaced(text, content, key, start, sign.end())
            # An empty name, which util.parseEnv returns, is not in the environment of the process.
            if entry.key not in ("", "__proto__"):
                entries.append(entry)
        return entries


def _read_empty(text: Text, key: str, start: int, end: int) -> tuple[Entry, int]:
    if key.startswith("export "):
        message = "Without a value, the word export stays a part of the name: the name is not set."
        text.note(start, "glued-name", message, 'Give it a value, such as "", or delete the word.')
    return text.entry(key, "", start, end, ""), end + 1


def _read_spaced(
    text: Text, content: str, key: str, start: int, position: int
) -> tuple[Entry, int]:
    """Return the assignment after whose `=`, at `position`, more than the line end follows."""
    key = key.removeprefix("export ").strip(_BLANKS)
    begin = after(_SPACING, content, position)
    if "\n" in content[position:begin]:
        message = (
            "Only blanks follow the =: Node takes the next line as the value, not as an assignment."
        )
        text.note(start, "glued-value", message, "Delete the blanks after the =.", key)
    if not content.startswith(_QUOTES, begin):
        entry, position = _read_plain(text, content, key, start, begin, _BLANKS)
    elif quoted := _read_quoted(text, content, key, start, begin):
        return quoted
    else:
        end = _line_end(content, begin)
        _note_unclosed(text, key, start, "the quote is a part of it")
        entry, position = text.entry(key, content[begin:end], start, end, ""), end + 1
    return entry, after(_SPACING, content, position)


def _line_end(content: str, position: int) -> int:
    end = content.find("\n", position)
    return end if end >= 0 else len(content)


def _read_plain(
    text: Text, content: str, key: str, start: int, begin: int, trimmed: str
) -> tuple[Entry, int]:
    """Return the assignment of an unquoted value, and the position after its line."""
    end = _line_end(content, begin)
    comment = content.find("#", begin, end)
    value = content[begin : comment if comment >= 0 else end].strip(trimmed)
    if comment >= 0 and not content[comment - 1].isspace():
        note_cut_at_hash(text, start, key, len(value), content[begin:end])
    return text.entry(key, value, start, begin + len(value), ""), end + 1


def _read_quoted(
    text: Text, content: str, key: str, start: int, begin: int
) -> tuple[Entry, int] | None:
    """Return the assignment of a value in closed quotes, and the position after its last line."""
    quote = next(each for each in _QUOTES if content.startswith(each, begin))
    closing = content.find(quote, begin + 1)
    if closing < 0:
        return None
    value = content[begin + 1 : closing]
    if quote == '"':
        value = value.replace("\\n", "\n")
    if not _REST_OF_LINE.match(content, closing + 1):
        message = "What follows the value's closing quote is ignored."
        text.note(start, "text-after-quote", message, "Correct the quotes.", key)
    entry = text.entry(key, value, start, closing + 1, quote)
    return entry, _line_end(content, closing + 1) + 1


def _note_unclosed(text: Text, key: str, start: int, happens: str) -> None:
    message = f"The value's quote is not closed: {happens}."
    text.note(start, "unclosed-quote", message, "Close the quote.", key)
