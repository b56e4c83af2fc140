"""The grammar of python-dotenv (1.2)."""

import re

from infisical_iac.dotenv.escapes import CONTROLS, QUOTED, escapes, unescaped
from infisical_iac.dotenv.model import Entry
from infisical_iac.dotenv.text import Text, after

# White space within a line; over lines it is \s.
_SPACE = r"[^\S\n]"
_UP_TO_STATEMENT = re.compile(r"(?:\s*+#[^\n]*+)*+\s*+")
_EXPORT = re.compile(rf"(?:export{_SPACE}++)?+")
_NAME = re.compile(rf"(?:'([^']++)'|(?!')([^=#\s]++)){_SPACE}*+")
_EQUALS = re.compile(rf"={_SPACE}*+")
_REST_OF_LINE = re.compile(r"[^\n]*+")
_TAIL = re.compile(rf"{_SPACE}*+(?:#[^\n]*+)?+(?:\n|\Z)")
_COMMENT = re.compile(r"\s#")

_UNESCAPE = {"'": escapes({"'": "'"}), '"': escapes({"'": "'", '"': '"', **CONTROLS})}


def parse(text: Text) -> list[Entry | str]:
    """The assignments of a file, and the bare names in it, to which None is assigned."""
    statements: list[Entry | str] = []
    position = 0
    while (start := after(_UP_TO_STATEMENT, text.text, position)) < len(text.text):
        after_export = after(_EXPORT, text.text, start)
        name = _NAME.match(text.text, after_export)
        if name:
            statement, end = _statement(text, name, start)
        else:
            statement, end = None, after_export
        tail = _TAIL.match(text.text, end)
        if tail and statement:
            statements.append(statement)
            if isinstance(statement, str):
                message = "The name has no value: python-dotenv sets nothing, and hides others."
                text.note(start, "no-value", message, "Give it a value or delete the line.")
        elif not text.text.startswith("#", end):
            message = "python-dotenv can't read this line: it warns in the log, and ignores it."
            text.note(start, "unreadable-line", message, "Correct or delete the line.")
        position = tail.end() if tail else after(_REST_OF_LINE, text.text, end)
    return statements


def _statement(text: Text, name: re.Match[str], start: int) -> tuple[Entry | str | None, int]:
    """Return what a statement assigns if it can be read, and where reading ended."""
    key = name[1] or name[2]
    equals = _EQUALS.match(text.text, name.end())
    if not equals:
        return key, name.end()
    begin = equals.end()
    for quote, pattern in QUOTED.items():
        if text.text.startswith(quote, begin):
            quoted = pattern.match(text.text, begin)
            if not quoted:
                return None, begin
            value = unescaped(quoted[1], _UNESCAPE[quote])
            return text.entry(key, value, start, quoted.end(), quote), quoted.end()
    if len(equals[0]) > 1 and text.text.startswith("#", begin):
        return text.entry(key, "", start, equals.start() + 1, ""), begin
    line_end = after(_REST_OF_LINE, text.text, begin)
    comment = _COMMENT.search(text.text, begin, line_end)
    value = text.text[begin : comment.start() if comment else line_end].rstrip()
    return text.entry(key, value, start, begin + len(value), ""), line_end
