"""The grammars of python-dotenv (1.2), with and without its interpolation."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from infisical_iac.dotenv.grammar import FILE, OPTION, PYTHON, Command, Grammar, Package
from infisical_iac.dotenv.text import (
    CONTROLS,
    QUOTED,
    Entry,
    Text,
    after,
    escapes,
    note_undefined,
    unescape,
)

# White space within a line; \s spans lines.
_SPACE = r"[^\S\n]"
_UP_TO_STATEMENT = re.compile(r"(?:\s*+#[^\n]*+)*+\s*+")
_EXPORT = re.compile(rf"(?:export{_SPACE}++)?+")
_NAME = re.compile(rf"(?:'([^']++)'|(?!')([^=#\s]++)){_SPACE}*+")
_EQUALS = re.compile(rf"={_SPACE}*+")
_REST_OF_LINE = re.compile(r"[^\n]*+")
_TAIL = re.compile(rf"{_SPACE}*+(?:#[^\n]*+)?+(?:\n|\Z)")
_COMMENT = re.compile(r"\s#")

_UNESCAPE = {"'": escapes({"'": "'"}), '"': escapes({"'": "'", '"': '"', **CONTROLS})}


_LITERAL = "let the program read the file with interpolate=False, as there is no other escape"
_Reference = tuple[int, int, str, str | None]


class _Python(Grammar):
    """The decoding of python-dotenv, for both grammars here."""

    _refuses_bytes = True


class PythonDotenv(_Python):
    """The grammar of python-dotenv: `${NAME}` and `${NAME:-default}` in single quotes as well."""

    name = "python-dotenv"
    place = 4
    packages: ClassVar = {
        PYTHON: (
            Package("python-dotenv"),
            Package("pydantic-settings"),
            Package("environs"),
            Package("dynaconf"),
        )
    }
    python_calls = frozenset({"load_dotenv", "dotenv_values"})
    mentions = (r"\b(?:load_dotenv|find_dotenv|dotenv_values)\b", r"\bpython-dotenv\b")
    uninterpolated = "python-dotenv-raw"
    commands = (
        Command(re.compile(rf"\buvicorn\b{OPTION}"), "gives it to uvicorn", rank=2),
        Command(
            re.compile(rf"\bdotenv\s+(?:[^\n|&;]*?\s)?-f[= ]+{FILE}[^\n]*?\brun\b"),
            "gives it to python-dotenv's command",
            rank=2,
        ),
    )

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        statements = _statements(text)
        known: dict[str, str | None] = dict(environ)
        for number, statement in enumerate(statements):
            if isinstance(statement, str):
                known[statement] = None
                continue
            value = _replace_references(text, statement, known)
            known[statement.key] = value
            if value != statement.written:
                statements[number] = replace(statement, value=value)
        return _drop_unset(statements)


class PythonDotenvRaw(_Python):
    """The grammar of python-dotenv with `interpolate=False`."""

    name = "python-dotenv-raw"
    place = 5
    packages: ClassVar = {
        PYTHON: (
            Package("django-environ", exact=False),
            Package("python-decouple", exact=False),
        )
    }

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        return _drop_unset(_statements(text))


def _statements(text: Text) -> list[Entry | str]:
    """Return the assignments of a file, and the bare names in it, to which None is assigned."""
    statements: list[Entry | str] = []
    position = 0
    while (start := after(_UP_TO_STATEMENT, text.text, position)) < len(text.text):
        after_export = after(_EXPORT, text.text, start)
        name = _NAME.match(text.text, after_export)
        if name:
            statement, end = _read_statement(text, name, start)
        else:
            statement, end = None, after_export
        tail = _TAIL.match(text.text, end)
        if tail and statement:
            statements.append(statement)
            if isinstance(statement, str):
                message = (
                    "The name has no value: python-dotenv drops the name and its earlier "
                    "assignments."
                )
                text.note(start, "no-value", message, "Give it a value or delete the line.")
        elif not text.text.startswith("#", end):
            message = "python-dotenv can't read this line: it logs a warning and ignores it."
            text.note(start, "unreadable-line", message, "Correct or delete the line.")
        position = tail.end() if tail else after(_REST_OF_LINE, text.text, end)
    return statements


def _read_statement(text: Text, name: re.Match[str], start: int) -> tuple[Entry | str | None, int]:
    """Return the assignment of a statement if it can be read, and the position after it."""
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
            value = unescape(quoted[1], _UNESCAPE[quote])
            return text.entry(key, value, start, quoted.end(), quote), quoted.end()
    if len(equals[0]) > 1 and text.text.startswith("#", begin):
        return text.entry(key, "", start, equals.start() + 1, ""), begin
    line_end = after(_REST_OF_LINE, text.text, begin)
    comment = _COMMENT.search(text.text, begin, line_end)
    value = text.text[begin : comment.start() if comment else line_end].rstrip()
    return text.entry(key, value, start, begin + len(value), ""), line_end


def _drop_unset(statements: list[Entry | str]) -> list[Entry]:
    """Return the assignments that no later bare name unsets."""
    bare = {name: number for number, name in enumerate(statements) if isinstance(name, str)}
    return [
        entry
        for number, entry in enumerate(statements)
        if isinstance(entry, Entry) and number > bare.get(entry.key, -1)
    ]


def _replace_references(text: Text, entry: Entry, known: Mapping[str, str | None]) -> str:
    parts, position, undefined = [], 0, 0
    for start, end, name, default in _references(entry.written):
        undefined += name not in known and default is None
        found = known.get(name, default) or ""
        text.count_replacement(found, entry.first_line)
        parts += [entry.written[position:start], found]
        position = end
    note_undefined(text, entry.first_line, entry.key, undefined, _LITERAL)
    return "".join([*parts, entry.written[position:]])


def _references(value: str) -> Iterator[_Reference]:
    """Yield each reference of a value: its two positions, its name and its default."""
    start = value.find("${")
    closing = colon = 0
    while start >= 0:
        # Each sign is searched for only once, to stay linear in the length of the value.
        closing = closing if closing > start else _find(value, "}", start)
        colon = colon if colon > start else _find(value, ":", start)
        end = start + 2
        if closing == len(value):
            return
        if colon > closing:
            end = closing + 1
            yield start, end, value[start + 2 : closing], None
        elif value.startswith(":-", colon):
            end = closing + 1
            yield start, end, value[start + 2 : colon], value[colon + 2 : closing]
        start = value.find("${", end)


def _find(value: str, sign: str, position: int) -> int:
    found = value.find(sign, position)
    return found if found >= 0 else len(value)
