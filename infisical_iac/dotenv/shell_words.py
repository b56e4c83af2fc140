"""The words of a shell: quotes, backslashes and references, as in the value of an assignment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_iac.dotenv.escapes import CONTROLS, escapes, unescaped
from infisical_iac.dotenv.model import Quote
from infisical_iac.dotenv.shell_references import References
from infisical_iac.dotenv.text import Text

_PLAIN = re.compile(r"(?:[^ \t\n;&|<>()'\"\\$`~{]++|\\.)++", re.DOTALL)
_DOUBLE = re.compile(r"(?:[^\"\\$`]++|\\.)++", re.DOTALL)
_SINGLE = re.compile(r"'([^']*+)'")
_ANSI = re.compile(r"\$'((?:[^'\\]++|\\.)*+)'", re.DOTALL)

_UNESCAPE = escapes({"$": "$", "`": "`", '"': '"', "\n": ""})
_UNESCAPE_ANSI = escapes({"'": "'", '"': '"', "?": "?", "e": "\x1b", "E": "\x1b", **CONTROLS})
_NUMBER = re.compile(r"\\[0-7xuUc]")
_QUOTES: dict[tuple[str, ...], Quote] = {("'",): "'", ('"',): '"'}


@dataclass
class Word:
    """A value with references replaced, and as it is written but for quotes and backslashes."""

    end: int
    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    quote: Quote = ""
    undefined: int = 0

    def add(self, part: str, end: int) -> None:
        """Adds what is read as it is written."""
        self.read.append(part)
        self.written.append(part)
        self.end = end


class Words:
    """Reads words with what is assigned so far. Raises Refused for what must not be read."""

    def __init__(self, text: Text, environ: Mapping[str, str]) -> None:
        self._text = text
        self._references = References(text, environ)
        self.values = self._references.values

    def read(self, begin: int, *, exported: bool) -> Word:
        """The word at a position, up to the first sign that is no part of it.

        As an argument of `export` it stands for several where braces are in it: it ends there.
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
        """Adds what begins with a sign, if it can be a part of a word."""
        text, position = self._text.text, word.end
        if sign == "'" and (single := _SINGLE.match(text, position)):
            word.add(single[1], single.end())
        elif sign == '"':
            self._add_double(word)
        elif ansi := _ANSI.match(text, position):
            if not _NUMBER.search(ansi[1].replace("\\\\", "")):
                word.add(unescaped(ansi[1], _UNESCAPE_ANSI), ansi.end())
        elif sign == "$" and not text.startswith(("$'", '$"'), position):
            self._add_reference(word)
        elif plain := _PLAIN.match(text, position):
            word.add(unescaped(plain[0], _without_backslashes), plain.end())

    def _add_double(self, word: Word) -> None:
        text = self._text.text
        word.add("", word.end + 1)
        while not text.startswith('"', word.end):
            self._text.step(word.end)
            plain = _DOUBLE.match(text, word.end)
            if plain:
                word.add(unescaped(plain[0], _UNESCAPE), plain.end())
            elif text.startswith("$", word.end):
                self._add_reference(word)
            else:
                message = "A quote that is not closed, or a command in it. It is not read."
                self._text.refuse(word.end, "refused", message, "Put it in single quotes.")
        word.end += 1

    def _add_reference(self, word: Word) -> None:
        replaced = self._references.read(word.end)
        word.read.append(replaced.value)
        word.written.append(self._text.text[word.end : replaced.end])
        word.end, word.undefined = replaced.end, word.undefined + replaced.undefined


def _without_backslashes(part: str) -> str:
    return part.replace("\\\n", "").replace("\\", "")
