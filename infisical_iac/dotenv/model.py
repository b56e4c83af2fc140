"""Hold what reading a .env file gives: its entries, what is odd about it, and what the program
sees.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from infisical_iac.dotenv.order import in_order

Quote = Literal["", "'", '"', "`"]


@dataclass(frozen=True)
class Entry:
    """One assignment.

    `written` is the value before references in it were replaced, `value` after. `raw` is the text
    from the name to the end of the value, with line ends as the parser sees them.
    """

    key: str
    value: str = field(repr=False)
    raw: str = field(repr=False)
    first_line: int
    last_line: int
    quote: Quote
    written: str = field(repr=False)


@dataclass(frozen=True)
class Finding:
    """Something in a file that a person should know, and what to do about it; never a value."""

    line: int
    kind: str
    key: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Reading:
    """A file as the parser of a grammar reads it; `error` says why it refuses the whole file."""

    grammar: str
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]
    error: str = ""

    @cached_property
    def values(self) -> dict[str, str]:
        """Return what the program gets, in the order in which the real parser returns it."""
        return in_order(self.grammar, {entry.key: entry.value for entry in self.entries})

    @cached_property
    def lines(self) -> dict[str, int]:
        """The line in which the entry that counts begins, by key."""
        return {entry.key: entry.first_line for entry in self.entries}
