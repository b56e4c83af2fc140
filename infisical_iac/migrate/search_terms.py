"""Turn known values into search terms: all their forms, searched for in one pass."""

import json
import re
import sys
from base64 import b64encode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import ahocorasick  # type: ignore[import-not-found]

from infisical_iac.core.wording import join_names

_SHORTEST = 8
_FEWEST_SIGNS = 4

# A word or a number; up to three of them make a name; names make a path, a host, an address.
_WORD = r"(?:[A-Z]?[a-z]{1,12}\d{0,2}|[A-Z]{1,12}|\d{1,15})"
_NAME = rf"{_WORD}(?:[-_ ]{_WORD}){{0,2}}"
_PATH = rf"{_NAME}(?:[./]{_NAME})*"
_PLAIN = re.compile(rf"(?:[a-z][a-z+]{{1,15}}://|\.{{0,2}}/)?{_PATH}(?::\d{{1,5}})?(?:/{_PATH})?/?")
_NUMBER = re.compile(r"\d+(?:[-_ ]\d+)*(?:\.\d+)?")
_MAIL = re.compile(rf"[a-z0-9._+-]{{1,30}}@{_PATH}")


def why_skipped(value: str) -> str:
    """Return why a value is not searched for; "" if it is.

    Such a value would be found in unrelated places of any repository.
    """
    text = value.strip()
    if len(text.encode("utf-8", "surrogatepass")) < _SHORTEST:
        return f"shorter than {_SHORTEST} bytes"
    if len(set(text)) < _FEWEST_SIGNS:
        return f"fewer than {_FEWEST_SIGNS} different characters"
    parts = [part.strip() for part in text.split(",")]
    if all(_PLAIN.fullmatch(part) or _MAIL.fullmatch(part) for part in parts):
        return join_names(dict.fromkeys(map(_describe, parts)))
    return ""


def _describe(plain: str) -> str:
    """Return the kind of a text that is skipped."""
    if _NUMBER.fullmatch(plain):
        return "a number"
    if "://" in plain:
        return "an address without credentials"
    if "@" in plain:
        return "a mail address"
    if "/" in plain:
        return "a path"
    if ":" in plain:
        return "a host"
    return "a name with dots" if "." in plain else "plain words"


# Characters that encoders do not encode, besides letters, digits and `_.-~`: by the strictest rule,
# in a path, and in JavaScript's encodeURIComponent and encodeURI.
_UNQUOTED = ("", "/", "!*'()", "!*'();/?:@&=+$,#")
_PERCENT = re.compile("%[0-9A-F]{2}")
_UNICODE = re.compile(r"\\u[0-9a-f]{4}")
_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


def written_forms(value: str) -> dict[bytes, str]:
    """Return the bytes of a value in each of its forms, with the name of the form.

    White space around the value is stripped, so that it is found with and without. A value of
    several lines is searched for with both line ends, in each form. Bytes that belong to several
    forms have the name of the simplest.
    """
    text = value.strip()
    lines = text.replace("\r\n", "\n")
    found: dict[bytes, str] = {}
    for each in dict.fromkeys((text, lines, lines.replace("\n", "\r\n"))):
        found.setdefault(_bytes(each), "as it is" if each == text else "with other line ends")
    for written, name in _encodings(list(found)):
        found.setdefault(written, name)
    return found


def _bytes(text: str) -> bytes:
    # JavaScript's strings may have no UTF-8.
    return text.encode("utf-8", "surrogatepass")


def _encodings(texts: list[bytes]) -> Iterator[tuple[bytes, str]]:
    for data in texts:
        text = data.decode("utf-8", "surrogatepass")
        for json_string in _json_escaped(text):
            yield _bytes(json_string), "JSON-escaped"
        for url in _url_encoded(data):
            yield url.encode(), "URL-encoded"
        for encode in (b64encode, urlsafe_b64encode):
            for part in _base64(data, encode):
                yield part, "base64"


def _json_escaped(text: str) -> Iterator[str]:
    for ascii_only in (False, True):
        plain = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        for slashes in (plain, plain.replace("/", r"\/")):
            for written in (slashes, slashes.translate(_HTML)):
                yield written
                yield _UNICODE.sub(lambda match: r"\u" + match[0][2:].upper(), written)


def _url_encoded(data: bytes) -> Iterator[str]:
    for safe in _UNQUOTED:
        written = quote(data, safe=safe)
        for spaces in (written, written.replace("%20", "+")):
            yield spaces
            yield _PERCENT.sub(lambda match: match[0].lower(), spaces)


def _base64(data: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    # A character stands for six bits, and three bytes are four characters: in a longer text, the
    # value begins at one of three offsets. Characters that depend on its surroundings are left out.
    for before in range(3):
        first = -(-before * 8 // 6)
        end = (before + len(data)) * 8 // 6
        yield encode(bytes(before) + data)[first:end]


# Longer forms are searched for by their first bytes, so that little of an object is in memory.
_LONGEST = 4096
_Letter = Literal["Q", "I"]
# Sizes of machine words, with their letters in memoryview.
_WORDS: tuple[tuple[int, _Letter], ...] = ((8, "Q"), (4, "I"))


@dataclass(frozen=True, order=True)
class Match:
    """A value that was found, by its label and its form."""

    label: str
    form: str


class SearchTerms:
    """Values to search for; none of them is shown.

    Args:
        values: by label, such as `backend production API_KEY`.

    Attributes:
        searched: labels of the values that are searched for.
        skipped: by label, the reason why a value is not searched for.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        reasons = {label: why_skipped(value) for label, value in values.items()}
        self.searched = [label for label, reason in reasons.items() if not reason]
        self.skipped = {label: reason for label, reason in reasons.items() if reason}
        meanings: dict[bytes, list[Match]] = defaultdict(list)
        for label in self.searched:
            for written, form in written_forms(values[label]).items():
                meanings[written[:_LONGEST]].append(Match(label, form))
        self._overlap = max(map(len, meanings), default=1) - 1
        self._automaton = ahocorasick.Automaton()
        for written, found in meanings.items():
            self._automaton.add_word(written.decode("latin-1"), found)
        self._automaton.make_automaton()
        self._filters = _filters(meanings)

    def search(self, chunks: Iterable[bytes]) -> set[Match]:
        """Return the values in the bytes of the chunks joined."""
        found: set[Match] = set()
        end = b""
        for chunk in chunks:
            block = end + chunk
            view = memoryview(block)
            may_be_in = any(
                not words.isdisjoint(view[: len(block) // size * size].cast(letter))
                for size, letter, words in self._filters
            )
            if may_be_in:
                for _, meaning in self._automaton.iter(block.decode("latin-1")):
                    found.update(meaning)
            end = block[max(0, len(block) - self._overlap) :]
        return found


# The automaton needs time for each byte, and more with more values. So it only searches blocks that
# may contain a value. At least 2n - 1 bytes cover a whole aligned machine word of n bytes, wherever
# they begin, and a lookup of that word in a set is fast.


def _filters(terms: Iterable[bytes]) -> list[tuple[int, _Letter, frozenset[int]]]:
    """Return each size of machine words with its letter for memoryview and the words to look up."""
    words: dict[int, set[int]] = defaultdict(set)
    for term in terms:
        size = next(size for size, _ in _WORDS if len(term) >= 2 * size - 1)
        part = _rarest(term, 2 * size - 1)
        words[size] |= {int.from_bytes(part[at : at + size], sys.byteorder) for at in range(size)}
    return [(size, letter, frozenset(words[size])) for size, letter in _WORDS if words[size]]


def _rarest(term: bytes, length: int) -> bytes:
    # Text is mostly lower-case words: the part with the most different other bytes is the rarest.
    parts = [term[at : at + length] for at in range(len(term) - length + 1)]
    return max(parts, key=lambda part: len({sign for sign in part if not 97 <= sign <= 122}))
