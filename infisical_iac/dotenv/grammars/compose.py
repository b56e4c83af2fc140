"""The grammar of Docker Compose's env_file (2.26)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from infisical_iac.dotenv.grammar import OPTION, Command, Grammar
from infisical_iac.dotenv.text import (
    CONTROLS,
    QUOTED,
    Entry,
    FileRefused,
    Finding,
    Quote,
    Text,
    after,
    escapes,
    note_undefined,
    unescape,
)

# White space in Go.
_TRIMMED = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_TRIMMED += "\u200a\u2028\u2029\u202f\u205f\u3000"
_INNER = r"[\t\v\f\r \x85\xa0]"

_UP_TO_STATEMENT = re.compile(rf"(?:[{_TRIMMED}]*+#[^\n]*+)*+[{_TRIMMED}]*+")
_EXPORT = re.compile(rf"(?:export(?=[\t\n\f\r ]){_INNER}*+)?+")
_NAME = re.compile(r"[\w.\-\[\]\t\v\f\r \x85\xa0]*+")
_SPACING = re.compile(rf"{_INNER}*+")
# A dollar is doubled so that it begins no reference.
_UNESCAPE = escapes({'"': '"', "$": "$$", **CONTROLS})
_UNESCAPE_SINGLE = escapes({"'": "'"})
_OCTAL = re.compile(r"\\0(?:([0-3][0-7]{2})|([0-9]{0,3}))")


_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[_a-zA-Z]\w*+)"
    r"|\{(?:(?P<braced>[_a-zA-Z]\w*+)(?:\}|(?P<operator>:?[-+?])))?)",
    re.ASCII,
)
_LITERAL = "put the value in single quotes"
# An opening brace hides the character after it from the search for the closing one.
_BRACE = re.compile(r"\{.?|\}", re.DOTALL)
_DEEPEST = 50

_BARE = "The name has no value: Compose takes the value of its own environment, if it has one."


class ComposeReferences:
    """The replacement of references by values of the environment or the file."""

    def __init__(self, text: Text, environ: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self.undefined = 0
        self._text, self._environ = text, environ
        self._line = 0

    def replace(self, value: str, line: int) -> str:
        """Return a value with its references replaced, and count the undefined ones.

        Args:
            line: the line of the value in the text.

        Raises FileRefused if Compose would refuse the file.
        """
        self.undefined, self._line = 0, line
        return self._replace(value, _DEEPEST)

    def look_up(self, name: str) -> str | None:
        """Return the value of a name if it is defined so far."""
        return self._environ.get(name, self.values.get(name))

    def _replace(self, value: str, depth: int) -> str:
        self._text.count_replacement(value, self._line)
        if not depth:
            self._refuse("References are nested too deeply.")
        parts = []
        position = last = 0
        while match := _REFERENCE.search(value, position):
            parts.append(value[position : match.start()])
            position = match.end()
            if match["operator"]:
                last = last if last >= position else self._last_brace(value, position)
                end = _closing_brace(value, match.start() + 1, last)
                rest, position = value[position:end], end + 1
                found = self._choose(match["braced"], match["operator"], rest, depth)
            elif match["dollar"]:
                found = "$"
            else:
                found = self._resolve(match["plain"] or match["braced"])
            self._text.count_replacement(found, self._line)
            parts.append(found)
        return "".join([*parts, value[position:]])

    def _resolve(self, name: str | None) -> str:
        if name is None:
            self._refuse("A ${ begins no valid reference.")
        value = self.look_up(name)
        self.undefined += value is None
        return value or ""

    def _last_brace(self, value: str, position: int) -> int:
        line_end = value.find("\n", position)
        last = value.rfind("}", position, line_end if line_end >= 0 else len(value))
        if last < 0:
            self._refuse("A ${ is not closed on its line.")
        return last

    def _choose(self, name: str, operator: str, rest: str, depth: int) -> str:
        # Compose replaces references in it, and refuses errors, even if the value is not taken.
        rest = self._replace(rest, depth - 1)
        value = self.look_up(name)
        given = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            return rest if given else value or ""
        if operator[-1] == "-":
            return value or "" if given else rest
        if not given:
            self._refuse("A name that is required (:? or ?) is not defined.")
        return value or ""

    def _refuse(self, message: str) -> NoReturn:
        message = f"{message} Compose refuses the whole file."
        remedy = "Correct the reference; write $$ for a dollar sign that begins no reference."
        raise FileRefused(Finding(self._line, "refused", "", message, remedy))


def _closing_brace(value: str, opening: int, last: int) -> int:
    """Return the position that closes a brace, or the last brace if there are not enough."""
    depth = 0
    for brace in _BRACE.finditer(value, opening, last + 1):
        depth += 1 if brace[0][0] == "{" else -1
        if not depth:
            return brace.start()
    return last


class Compose(Grammar):
    """The grammar of `env_file:` and of `docker compose --env-file`."""

    name = "compose"
    place = 6
    reads_compose_files = True
    commands = (
        Command(
            re.compile(rf"\bdocker[ -]compose\b{OPTION}"), "gives it to docker compose", rank=1
        ),
        Command(
            re.compile(rf"\b(?:docker|podman) run\b{OPTION}"),
            "gives it to docker run, which does not interpret quotes",
            exact=False,
            rank=1,
        ),
    )

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        entries = []
        references = ComposeReferences(text, environ)
        position = 0
        while (start := after(_UP_TO_STATEMENT, text.text, position)) < len(text.text):
            key, position, bare = _name(text, start)
            entry = None
            if not bare:
                entry, position = _read_assignment(text, key, start, position, references)
            else:
                text.note(start, "no-value", _BARE, "Give it a value or delete the line.")
                if key in environ:
                    inherited = text.entry(key, "", start, position, "")
                    entry = replace(inherited, value=environ[key])
            if entry:
                references.values[key] = entry.value
                entries.append(entry)
        return entries

    def order(self, values: dict[str, str]) -> dict[str, str]:
        return dict(sorted(values.items()))

    def _characters(self, data: bytes) -> str:
        # Go replaces each invalid byte, the others each truncated sequence.
        return re.sub("[\udc80-\udcff]", "\ufffd", data.decode(errors="surrogateescape"))

    def _lines(self, text: str) -> str:
        return text


def _refuse(text: Text, position: int, why: str) -> NoReturn:
    message = f"{why}: Compose refuses the whole file."
    text.refuse(position, "refused", message, "Correct the line.")


def _name(text: Text, start: int) -> tuple[str, int, bool]:
    """Return a statement's name, the position of its value, and whether it has no value."""
    begin = after(_EXPORT, text.text, start)
    if begin == len(text.text):
        _refuse(text, start, "An export without a name")
    end = after(_NAME, text.text, begin)
    key, separator = text.text[begin:end].rstrip(_TRIMMED), text.text[end : end + 1]
    if not separator:
        # If the file ends with a name, Compose reads that as the value of the name "".
        key, end = "", begin - 1
    elif separator not in "=:\n":
        _refuse(text, start, "A character that a name can't have")
    if " " in key:
        _refuse(text, start, "A name with a space in it")
    return key, after(_SPACING, text.text, end + 1), separator == "\n"


def _read_assignment(
    text: Text, key: str, start: int, begin: int, references: ComposeReferences
) -> tuple[Entry, int]:
    for quote, pattern in QUOTED.items():
        if text.text.startswith(quote, begin):
            quoted = pattern.match(text.text, begin)
            if not quoted:
                _refuse(text, start, "A quote that is not closed")
            written = _unescape(quoted[1], quote)
            entry = text.entry(key, written, start, quoted.end(), quote)
            return _replace_references(text, entry, references), quoted.end()
    line_end = text.text.find("\n", begin)
    line = text.text[begin : line_end if line_end >= 0 else len(text.text)]
    written = line.partition(" #")[0].rstrip(_TRIMMED)
    entry = text.entry(key, written, start, begin + len(written), "")
    return _replace_references(text, entry, references), begin + len(line)


def _unescape(value: str, quote: Quote) -> str:
    if quote == "'":
        return unescape(value, _UNESCAPE_SINGLE, pair="\\\\")

    def character(octal: re.Match[str]) -> str:
        return chr(int(octal[1], 8)) if octal[1] else "\\" + octal[2]

    return unescape(value, lambda part: _OCTAL.sub(character, _UNESCAPE(part)))


def _replace_references(text: Text, entry: Entry, references: ComposeReferences) -> Entry:
    if entry.quote == "'" or "$" not in entry.written:
        return entry
    value = references.replace(entry.written, entry.first_line)
    note_undefined(text, entry.first_line, entry.key, references.undefined, _LITERAL)
    return replace(entry, value=value)
