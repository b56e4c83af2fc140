"""The text of a file for its parser: entries, findings, a limit on the work, and escapes.

`migrate/model.py` has the findings on files and their services, `check/model.py` those on code.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, NoReturn

Quote = Literal["", "'", '"', "`"]

# 200,000 statements, or ten megabytes of ordinary lines, which take less than two seconds.
_MOST_WORK = 24_000_000
_WORK_OF_A_STATEMENT = 120
_WORK_OF_A_REFERENCE = 50
_WORK_OF_A_PART = 15

# A value in closed quotes; a quote after a backslash is a part of it.
QUOTED: dict[Quote, re.Pattern[str]] = {
    "'": re.compile(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL),
    '"': re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL),
}

_COMMENT = re.compile(r"\s#")

# The escapes in double quotes of most languages, without their backslash.
CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True)
class Entry:
    """An assignment of a value to a key.

    Attributes:
        value: the value with references replaced.
        raw: the text from the name to the end of the value, with the parser's line ends.
        written: the value before references were replaced.
    """

    key: str
    value: str = field(repr=False)
    raw: str = field(repr=False)
    first_line: int
    last_line: int
    quote: Quote
    written: str = field(repr=False)


class Finding(NamedTuple):
    """Something in a file that a person should know, with its remedy; never a value."""

    line: int
    kind: str
    key: str
    message: str
    remedy: str


def after(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return the end of the match at a position; the position itself if there is none."""
    match = pattern.match(text, position)
    return match.end() if match else position


class FileRefused(Exception):
    """The parser refuses the whole file; the finding has the reason."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Text:
    """The decoded text of a file, and its findings so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.findings: list[Finding] = []
        self._position, self._line = 0, 1
        self._work = 0

    def line(self, position: int) -> int:
        """Return the number of the line of a position."""
        if position >= self._position:
            self._line += self.text.count("\n", self._position, position)
        else:
            self._line -= self.text.count("\n", position, self._position)
        self._position = position
        return self._line

    def entry(self, key: str, value: str, start: int, end: int, quote: Quote) -> Entry:
        """Return the assignment between two positions."""
        self._spend(_WORK_OF_A_STATEMENT, start)
        raw, first = self.text[start:end], self.line(start)
        return Entry(key, value, raw, first, self.line(max(start, end - 1)), quote, value)

    def note(self, position: int, kind: str, message: str, remedy: str, key: str = "") -> None:
        """Add a finding on the line of a position."""
        self._spend(_WORK_OF_A_STATEMENT, position)
        self.add(self.line(position), kind, message, remedy, key)

    def add(self, line: int, kind: str, message: str, remedy: str, key: str = "") -> None:
        """Add a finding on a line."""
        self.findings.append(Finding(line, kind, key, message, remedy))

    def refuse(self, position: int, kind: str, message: str, remedy: str) -> NoReturn:
        """Raise FileRefused: the parser takes nothing from this file."""
        raise FileRefused(Finding(self.line(position), kind, "", message, remedy))

    def step(self, position: int) -> None:
        """Count the work of parsing one part of the value that begins at a position.

        Raises FileRefused if a value takes too much work.
        """
        self._spend(_WORK_OF_A_PART, position)

    def count_replacement(self, value: str, line: int) -> None:
        """Count the work for one step in replacing the references of a value.

        The real parsers take quadratic time, or never end, for certain values. Raises FileRefused
        for a file with such values.
        """
        self._work += len(value) + _WORK_OF_A_REFERENCE
        if self._work > _MOST_WORK:
            message = "The references in this file are too many, or too long, to be replaced."
            raise FileRefused(Finding(line, "too-much", "", message, "Write the values in full."))

    def _spend(self, work: int, position: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            message = "The file has more statements than an environment can hold."
            self.refuse(position, "too-much", message, "Check whether this is a .env file.")


def unescape(value: str, of_part: Callable[[str], str], pair: str = "\\") -> str:
    """Return a value with each double backslash read as `pair`, and the parts between unescaped."""
    parts = value.split("\\\\")
    return pair.join(of_part(part) if "\\" in part else part for part in parts)


def escapes(meanings: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function that replaces escaped characters by their meanings; others stay."""

    def unescape(part: str) -> str:
        for escaped, meaning in meanings.items():
            part = part.replace("\\" + escaped, meaning)
        return part

    return unescape


def with_values(entries: Iterable[Entry], values: dict[str, str]) -> list[Entry]:
    """Return the entries, the last one of each key with its value from `values`.

    Earlier entries of a key keep their written value: the parsers replace nothing in overwritten
    values.
    """
    last = {entry.key: entry for entry in entries}
    return [
        replace(entry, value=values[entry.key])
        if entry is last[entry.key] and entry.value != values[entry.key]
        else entry
        for entry in entries
    ]


def without_comment(rest: str) -> str:
    """Return the value in the rest of a line, if a comment begins only after a space."""
    return _COMMENT.split(rest, maxsplit=1)[0].strip()


def note_cut_at_hash(text: Text, position: int, key: str, read: int, rest: str) -> None:
    """Add the finding that a value ends at a `#` without a space before it, with both lengths.

    Args:
        read: the number of characters that the parser reads.
        rest: the line from the value on. Other parsers begin a comment only after a space.
    """
    whole = without_comment(rest)
    message = (
        "The parser ends the value at the #, which needs no space before it: it reads "
        f"{read} of {len(whole)} characters."
    )
    remedy = "Quote the value if the # is a part of it; otherwise write a space before the #."
    text.note(position, "cut-at-hash", message, remedy, key)


def note_undefined(text: Text, line: int, key: str, count: int, literal: str) -> None:
    """Add the finding that a value refers to `count` undefined names.

    Args:
        literal: a clause that says how this parser is made to keep a dollar.

    The finding does not name them: the text after a dollar may be a part of a password.
    """
    if count:
        names = "a name that is" if count == 1 else f"{count} names that are"
        message = (
            f"The value refers to {names} not defined: such a reference is replaced by nothing."
        )
        remedy = f"Define the name; or, if the dollar is a part of the value, {literal}."
        text.add(line, "undefined-reference", message, remedy, key)


_PATTERN = re.compile(r"\$([$&`'])")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_LAST_INDEX = 2**32 - 2

# White space, and the characters of it that end a line.
SPACES = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
TRIMMED = SPACES.replace("\u2000-\u200a", "".join(map(chr, range(0x2000, 0x200B))))
ENDS = "\n\u2028\u2029"


def replace_first(text: str, template: str, value: str) -> str:
    """Return the text with its first `template` replaced, as by String.replace.

    `$$`, `$&`, `` $` `` and `$'` in the value stand for a dollar, the template, and the text before
    and after it. So a reference to a password with one of these changes it.
    """
    if "$" not in value:
        return text.replace(template, value, 1)
    before, _, after = text.partition(template)
    meanings = {"$": "$", "&": template, "`": before, "'": after}
    return before + _PATTERN.sub(lambda match: meanings[match[1]], value) + after


def as_object(values: dict[str, str]) -> dict[str, str]:
    """Return values in the order of an object: keys that are array indices first, by number."""
    numbers = (key for key in values if _NUMBER.fullmatch(key))
    indices = sorted((key for key in numbers if int(key) <= _LAST_INDEX), key=int)
    return {key: values[key] for key in indices} | values if indices else values
