"""The grammar of a shell's `source`, read without running anything.

A file is refused if it would run a command, or depends on more than the environment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NoReturn

from infisical_iac.dotenv.grammar import FILE, Command, Grammar
from infisical_iac.dotenv.text import (
    CONTROLS,
    Entry,
    Quote,
    Text,
    after,
    escapes,
    note_undefined,
    unescape,
)

_BETWEEN = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_BLANKS = re.compile(r"[ \t]*+")
_ALLEXPORT = re.compile(r"set[ \t]++[-+](?:a|o[ \t]++allexport)(?![^ \t\n;])")
_EXPORT = re.compile(r"export[ \t]++(?=[A-Za-z_])")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*+)(=?)")
_END = re.compile(r"[ \t]*+(?:(?<=[ \t])#[^\n]*+)?(?:[\n;]|\Z)")

# The parts of a word.
_PLAIN = re.compile(r"(?:[^ \t\n;&|<>()'\"\\$`~{]++|\\.)++", re.DOTALL)
_DOUBLE = re.compile(r"(?:[^\"\\$`]++|\\.)++", re.DOTALL)
_SINGLE = re.compile(r"'([^']*+)'")
_ANSI = re.compile(r"\$'((?:[^'\\]++|\\.)*+)'", re.DOTALL)

_UNESCAPE = escapes({"$": "$", "`": "`", '"': '"', "\n": ""})
_UNESCAPE_ANSI = escapes({"'": "'", '"': '"', "?": "?", "e": "\x1b", "E": "\x1b", **CONTROLS})
_NUMBER = re.compile(r"\\[0-7xuUc]")
_QUOTES: dict[tuple[str, ...], Quote] = {("'",): "'", ('"',): '"'}

# A reference.
_REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*+)|\{([A-Za-z_]\w*+)(?:\}|(:?[-+])))(?!\\\n)", re.ASCII)
_LITERAL = "put the value in single quotes"
# After a dollar: commands, arithmetic, and parameters of the script or the shell.
_MORE = re.compile(r"\$(?:[A-Za-z_{(\[0-9@*#?$!-]|\\\n)")
_ALTERNATIVE = re.compile(r"[^}\"'\\`$~{()<>]*+")
_DEEPEST = 20

# Names whose value the shell sets, whatever is assigned to them; and those with an initial value.
_MAGIC = re.compile(
    r"_|BASH\w*|EPOCH\w*|SHELLOPTS|POSIXLY_CORRECT|S?RANDOM|SECONDS|LINENO|E?UID|PPID|GROUPS"
    r"|FUNCNAME|DIRSTACK|HISTCMD|PIPESTATUS"
)
_SET_AT_START = re.compile(
    r"PATH|IFS|PS[0-4]|(?:OLD)?PWD|SHLVL|SHELL|TERM|OPT(?:IND|ERR|ARG)|(?:HOST|MACH|OS)TYPE"
    r"|HOSTNAME|COLUMNS|LINES"
)


@dataclass
class ShellValue:
    """The value of a reference, its end, and the number of undefined names in it."""

    value: str
    end: int
    undefined: int = 0


@dataclass
class Word:
    """A word, with references replaced and as written; both without quotes and backslashes."""

    end: int
    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    quote: Quote = ""
    undefined: int = 0

    def add(self, part: str, end: int) -> None:
        """Add a part without references."""
        self.read.append(part)
        self.written.append(part)
        self.end = end


class Words:
    """A reader of words, with the values assigned so far.

    Raises FileRefused for a word that must not be read.
    """

    def __init__(self, text: Text, environ: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self._text, self._environ = text, environ

    def read(self, begin: int, *, exported: bool) -> Word:
        """Return the word at a position, up to the first character that is not a part of it.

        An argument of `export` ends at a brace, because the shell expands braces there.
        """
        word = Word(begin)
        signs: list[str] = []
        while sign := self._text.text[word.end : word.end + 1]:
            position = word.end
            self._text.step(position)
            if sign == "{" and not exported:
                word.add("{", position + 1)
            elif sign == "~" and position > begin and self._text.text[position - 1] not in ":\n":
                word.add("~", position + 1)
            else:
                self._add(word, sign)
            if word.end == position:
                break
            signs.append(sign)
        word.quote = _QUOTES.get(tuple(signs[:2]), "")
        return word

    def _add(self, word: Word, sign: str) -> None:
        """Add the part that begins with a character, if it can be a part of a word."""
        text, position = self._text.text, word.end
        if sign == "'" and (single := _SINGLE.match(text, position)):
            word.add(single[1], single.end())
        elif sign == '"':
            self._add_double(word)
        elif ansi := _ANSI.match(text, position):
            if not _NUMBER.search(ansi[1].replace("\\\\", "")):
                word.add(unescape(ansi[1], _UNESCAPE_ANSI), ansi.end())
        elif sign == "$" and not text.startswith(("$'", '$"'), position):
            self._add_reference(word)
        elif plain := _PLAIN.match(text, position):
            unquoted = unescape(plain[0], lambda part: part.replace("\\\n", "").replace("\\", ""))
            word.add(unquoted, plain.end())

    def _add_double(self, word: Word) -> None:
        text = self._text.text
        word.add("", word.end + 1)
        while not text.startswith('"', word.end):
            self._text.step(word.end)
            plain = _DOUBLE.match(text, word.end)
            if plain:
                word.add(unescape(plain[0], _UNESCAPE), plain.end())
            elif text.startswith("$", word.end):
                self._add_reference(word)
            else:
                message = (
                    "The value is not read: it has a quote that is not closed, or a command in its "
                    "quotes."
                )
                self._text.refuse(word.end, "refused", message, "Put the value in single quotes.")
        word.end += 1

    def _add_reference(self, word: Word) -> None:
        replaced = self._reference(word.end)
        word.read.append(replaced.value)
        word.written.append(self._text.text[word.end : replaced.end])
        word.end, word.undefined = replaced.end, word.undefined + replaced.undefined

    def _reference(self, position: int, depth: int = _DEEPEST) -> ShellValue:
        """Return the reference that begins with a dollar; a bare dollar stands for itself."""
        text = self._text.text
        match = _REFERENCE.match(text, position)
        if not match:
            if _MORE.match(text, position) or not depth:
                self._refuse(position)
            return ShellValue("$", position + 1)
        name, operator = match[1] or match[2], match[3]
        value = self.values.get(name, self._environ.get(name))
        if _MAGIC.fullmatch(name) or (value is None and _SET_AT_START.fullmatch(name)):
            self._refuse(position)
        self._text.count_replacement(value or "", self._text.line(position))
        if not operator:
            return ShellValue(value or "", match.end(), int(value is None))
        rest = self._rest(match.end(), depth)
        given = bool(value) if operator[0] == ":" else value is not None
        if operator[-1] == "+":
            return rest if given else ShellValue("", rest.end)
        return ShellValue(value or "", rest.end) if given else rest

    def _rest(self, position: int, depth: int) -> ShellValue:
        """Return the text after the operator of a reference, with the references in it replaced."""
        rest = ShellValue("", position)
        parts = []
        while not self._text.text.startswith("}", rest.end):
            plain = _ALTERNATIVE.match(self._text.text, rest.end)
            if plain and plain[0]:
                part = ShellValue(plain[0], plain.end())
            elif self._text.text.startswith("$", rest.end) and depth:
                part = self._reference(rest.end, depth - 1)
            else:
                self._refuse(rest.end)
            parts.append(part.value)
            rest.end, rest.undefined = part.end, rest.undefined + part.undefined
        return ShellValue("".join(parts), rest.end + 1, rest.undefined)

    def _refuse(self, position: int) -> NoReturn:
        message = "The value is not read: it depends on a command or on the shell itself."
        remedy = "Write the value itself; put it in single quotes if the dollar is a part of it."
        self._text.refuse(position, "refused", message, remedy)


class Shell(Grammar):
    """The grammar of a POSIX shell and bash."""

    name = "shell"
    place = 7
    commands = (
        Command(re.compile(rf"(?:^|[\s;&|(\"'])(?:source|\.)[ \t]+{FILE}"), "sources it", rank=4),
        Command(
            re.compile(
                r"\b(?:export|env)\s+[^\n]{0,80}?"
                r"\$\([^\n)]*?(?P<file>[^\s\"'()<]*\.env[\w.-]*)[^\n)]*\)"
            ),
            "passes its words to export or env, which do not interpret quotes",
            exact=False,
            rank=4,
        ),
        Command(
            re.compile(rf"(?m)^EnvironmentFile=-?{FILE}"),
            "names it as EnvironmentFile, which systemd reads by rules of its own",
            exact=False,
            rank=4,
        ),
    )
    file_names: ClassVar = {".envrc": "direnv runs an .envrc with bash"}
    _refuses_bytes = True
    _refuses_utf_16 = True
    _mark = "The byte order mark becomes a part of the first command, which fails."
    _refuses_mark = True

    def parse(self, text: Text, environ: Mapping[str, str]) -> list[Entry]:
        if "\0" in text.text:
            message = "A NUL byte: the shell drops it."
            text.refuse(text.text.index("\0"), "refused", message, "Delete it.")
        entries: list[Entry] = []
        words = Words(text, environ)
        position = 0
        while (start := after(_BETWEEN, text.text, position)) < len(text.text):
            assigned, position = _read_statement(text, start, words)
            entries += assigned
            words.values.update((entry.key, entry.value) for entry in assigned)
            end = _END.match(text.text, position)
            if not end:
                _refuse(text, position)
            position = end.end()
        return entries

    def _lines(self, text: str) -> str:
        return text


def _refuse(text: Text, position: int) -> NoReturn:
    message = "This is not read: a shell would run it, or only a shell can interpret it."
    text.refuse(position, "refused", message, "Leave assignments only, with values in quotes.")


def _read_statement(text: Text, start: int, words: Words) -> tuple[list[Entry], int]:
    """Return the assignments of a statement, and its end."""
    allexport = _ALLEXPORT.match(text.text, start)
    if allexport:
        return [], allexport.end()
    export = _EXPORT.match(text.text, start)
    entries = []
    begin = position = export.end() if export else start
    while name := _NAME.match(text.text, begin):
        position = name.end()
        if name[2]:
            entry, position = _read_assignment(text, name, words, exported=bool(export))
            entries.append(entry)
            if not export:
                words.values[entry.key] = entry.value
        elif not export:
            _refuse(text, start)
        begin = after(_BLANKS, text.text, position)
        if begin == position:
            break
    if position == start:
        _refuse(text, start)
    return entries, position


def _read_assignment(
    text: Text, name: re.Match[str], words: Words, *, exported: bool
) -> tuple[Entry, int]:
    if _MAGIC.fullmatch(name[1]):
        _refuse(text, name.start())
    word = words.read(name.end(), exported=exported)
    written, value = "".join(word.written), "".join(word.read)
    entry = text.entry(name[1], written, name.start(), word.end, word.quote)
    note_undefined(text, entry.first_line, entry.key, word.undefined, _LITERAL)
    return (entry if value == written else replace(entry, value=value)), word.end
