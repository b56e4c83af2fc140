"""Known values, and whether they are in some bytes: one pass for all values and forms."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import ahocorasick  # type: ignore[import-not-found]

from infisical_iac.migrate.common import why_skipped
from infisical_iac.migrate.forms import written_forms

# Of longer forms, this much is looked for, so that little of a large object is held at a time.
_LONGEST = 4096
_Letter = Literal["Q", "I"]
# Sizes of machine words, and what memoryview calls them.
_WORDS: tuple[tuple[int, _Letter], ...] = ((8, "Q"), (4, "I"))


@dataclass(frozen=True, order=True)
class Match:
    """That a value is there: what it is called, and the form in which it is written."""

    label: str
    form: str


class SearchTerms:
    """Values to look for; none of them is told to anybody.

    Args:
        values: by label, which says which value it is, such as `backend production API_KEY`.

    Attributes:
        searched: labels of the values that are looked for.
        skipped: by label, why a value is not looked for.
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
        """The values that are in the bytes which the chunks make together."""
        found: set[Match] = set()
        end = b""
        for chunk in chunks:
            block = end + chunk
            if self._may_be_in(block):
                for _, meaning in self._automaton.iter(block.decode("latin-1")):
                    found.update(meaning)
            end = block[max(0, len(block) - self._overlap) :]
        return found

    def _may_be_in(self, block: bytes) -> bool:
        view = memoryview(block)
        return any(
            not words.isdisjoint(view[: len(block) // size * size].cast(letter))
            for size, letter, words in self._filters
        )


# The automaton takes its time for each byte, the more the more values there are. So only blocks
# in which a value may be get that far: whatever is at least 2n - 1 bytes long covers, wherever
# it begins, a whole machine word of n bytes, and a set knows quickly whether it has that word.


def _filters(terms: Iterable[bytes]) -> list[tuple[int, _Letter, frozenset[int]]]:
    """For each size of words, its letter, and the words of which a block has one if it matches."""
    words: dict[int, set[int]] = defaultdict(set)
    for term in terms:
        size = next(size for size, _ in _WORDS if len(term) >= 2 * size - 1)
        part = _rarest(term, 2 * size - 1)
        words[size] |= {int.from_bytes(part[at : at + size], sys.byteorder) for at in range(size)}
    return [(size, letter, frozenset(words[size])) for size, letter in _WORDS if words[size]]


def _rarest(term: bytes, length: int) -> bytes:
    # Text is mostly lower-case words: the part with the most different other signs is the rarest.
    parts = [term[at : at + length] for at in range(len(term) - length + 1)]
    return max(parts, key=lambda part: len({sign for sign in part if not 97 <= sign <= 122}))
