"""A file's text on its way through a parser: lines, findings, and a bound on the work."""

import re
from typing import NoReturn

from infisical_iac.dotenv.model import Entry, Finding, Quote

# For 200,000 statements, or ten megabytes of ordinary lines, which take less than two seconds.
_MOST_WORK = 24_000_000
_WORK_OF_A_STATEMENT = 120
_WORK_OF_A_REFERENCE = 50
_WORK_OF_A_PART = 15


def after(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where the match at a position ends; the position itself if there is none."""
    match = pattern.match(text, position)
    return match.end() if match else position


class Refused(Exception):
    """The whole file can't be read; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Text:
    """The decoded text of a file, and what was found in it so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.findings: list[Finding] = []
        self._position, self._line = 0, 1
        self._work = 0

    def line(self, position: int) -> int:
        """The number of the line in which a position is."""
        if position >= self._position:
            self._line += self.text.count("\n", self._position, position)
        else:
            self._line -= self.text.count("\n", position, self._position)
        self._position = position
        return self._line

    def entry(self, key: str, value: str, start: int, end: int, quote: Quote) -> Entry:
        """The assignment that stands between two positions."""
        self._spend(_WORK_OF_A_STATEMENT, start)
        raw, first = self.text[start:end], self.line(start)
        return Entry(key, value, raw, first, self.line(max(start, end - 1)), quote, value)

    def note(self, position: int, kind: str, message: str, remedy: str, key: str = "") -> None:
        """Adds a finding about the line in which a position is."""
        self._spend(_WORK_OF_A_STATEMENT, position)
        self.add(self.line(position), kind, message, remedy, key)

    def add(self, line: int, kind: str, message: str, remedy: str, key: str = "") -> None:
        """Adds a finding about a line."""
        self.findings.append(Finding(line, kind, key, message, remedy))

    def refuse(self, position: int, kind: str, message: str, remedy: str) -> NoReturn:
        """Raises Refused: the parser takes nothing from this file."""
        raise Refused(Finding(self.line(position), kind, "", message, remedy))

    def step(self, position: int) -> None:
        """Counts a part of a value, which begins at a position."""
        self._spend(_WORK_OF_A_PART, position)

    def replacing(self, value: str, line: int) -> None:
        """Counts one step in replacing the references of a value.

        The real parsers take quadratic time, or never end, for values made for it. Such a file is
        refused.
        """
        self._work += len(value) + _WORK_OF_A_REFERENCE
        if self._work > _MOST_WORK:
            message = "The references in this file lead to more work than those of any program."
            raise Refused(Finding(line, "too-much", "", message, "Write the values in full."))

    def _spend(self, work: int, position: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            message = "The file has more statements than an environment can hold."
            self.refuse(position, "too-much", message, "Look at whether this is a .env file.")
