"""Replace `${NAME}` and `${NAME:-default}` as python-dotenv does: in single quotes as well."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from infisical_iac.dotenv.grammars import python
from infisical_iac.dotenv.model import Entry
from infisical_iac.dotenv.replacing import note_undefined
from infisical_iac.dotenv.text import Text

Reference = tuple[int, int, str, str | None]


def parse_raw(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments of a file as they are written."""
    return _assigned(python.parse(text))


def parse(text: Text, environ: Mapping[str, str]) -> list[Entry]:
    """The assignments of a file, with values of earlier ones or of the environment put in."""
    statements = python.parse(text)
    known: dict[str, str | None] = dict(environ)
    for number, statement in enumerate(statements):
        if isinstance(statement, str):
            known[statement] = None
            continue
        value = _replaced(text, statement, known)
        known[statement.key] = value
        if value != statement.written:
            statements[number] = replace(statement, value=value)
    return _assigned(statements)


def _assigned(statements: list[Entry | str]) -> list[Entry]:
    """The assignments that no bare name takes back."""
    bare = {name: number for number, name in enumerate(statements) if isinstance(name, str)}
    return [
        entry
        for number, entry in enumerate(statements)
        if isinstance(entry, Entry) and number > bare.get(entry.key, -1)
    ]


def _replaced(text: Text, entry: Entry, known: Mapping[str, str | None]) -> str:
    parts, position, undefined = [], 0, 0
    for start, end, name, default in _references(entry.written):
        undefined += name not in known and default is None
        found = known.get(name, default) or ""
        text.replacing(found, entry.first_line)
        parts += [entry.written[position:start], found]
        position = end
    note_undefined(text, entry.first_line, entry.key, undefined)
    return "".join([*parts, entry.written[position:]])


def _references(value: str) -> Iterator[Reference]:
    """Each reference of a value: where it begins and ends, the name, and the default if any."""
    start = value.find("${")
    closing = colon = 0
    while start >= 0:
        # Searched for once only, however many references are begun before it.
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
