"""The grammar of Node's own --env-file (and util.parseEnv), as of Node 20."""

import re
from collections.abc import Mapping

from infisical_iac.dotenv.grammar import OPTION, Command, Grammar
from infisical_iac.dotenv.text import Entry, Quote, Text, after, as_object, note_cut_at_hash

_COMMENTS = re.compile(r"(?:\n|#[^\n]*\n)*+")
_SPACES = re.compile(r" *+")
_REST_OF_LINE = re.compile(r"[ \t]*+(?:#|\n|\Z)")
_QUOTES: tuple[Quote, ...] = ("'", '"', "`")


class NodeEnvFile(Grammar):
    """The grammar of `node --env-file`, process.loadEnvFile and util.parseEnv."""

    name = "node-env-file"
    place = 3
    node_calls = (("process", "loadEnvFile"), ("util", "parseEnv"))
    mentions = (r"\bloadEnvFile\b",)
    commands = (
        Command(re.compile(rf"\b(?:node|tsx|nodemon)\b{OPTION}"), "gives it to node --env-file"),
    )
    _mark = "The byte order mark becomes a part of the first name."
    _keeps_mark = True

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

    def order(self, values: dict[str, str]) -> dict[str, str]:
        return as_object(dict(sorted(values.items())))

    def _lines(self, text: str) -> str:
        return text.replace("\r", "")


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
    line_end = content.find("\n", begin)
    for quote in _QUOTES:
        if content.startswith(quote, begin):
            return _read_quoted(text, content, key, start, begin, quote)
    end = line_end if line_end >= 0 else len(content)
    comment = content.find("#", begin, end)
    value = content[begin : comment if comment >= 0 else end]
    value = value.strip(" ")
    if comment >= 0 and not content[comment - 1].isspace():
        note_cut_at_hash(text, start, key, len(value), content[begin:end])
    return text.entry(key, value, start, begin + len(value), ""), end + 1


def _read_quoted(
    text: Text, content: str, key: str, start: int, begin: int, quote: Quote
) -> tuple[Entry | None, int]:
    closing = content.find(quote, begin + 1)
    if closing < 0:
        return _read_unclosed(text, content, key, start, begin)
    value = content[begin + 1 : closing]
    if quote == '"':
        value = value.replace("\\n", "\n")
    if not _REST_OF_LINE.match(content, closing + 1):
        message = "What follows the value's closing quote is ignored."
        text.note(start, "text-after-quote", message, "Correct the quotes.", key)
    line_end = content.find("\n", closing + 1)
    position = line_end + 1 if line_end >= 0 else len(content)
    return text.entry(key, value, start, closing + 1, quote), position


def _read_unclosed(
    text: Text, content: str, key: str, start: int, begin: int
) -> tuple[Entry | None, int]:
    line_end = content.find("\n", begin)
    happens = "the quote is a part of it" if line_end >= 0 else "Node does not read it"
    message = f"The value's quote is not closed: {happens}."
    text.note(start, "unclosed-quote", message, "Close the quote.", key)
    if line_end < 0:
        return None, begin
    return text.entry(key, content[begin:line_end], start, line_end, ""), line_end + 1
