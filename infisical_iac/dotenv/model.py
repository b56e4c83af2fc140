"""The entries of a .env file, and findings: what is odd about it."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

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


class Finding(NamedTuple):
    """Something in a file that a person should know, and what to do about it; never a value."""

    line: int
    kind: str
    key: str
    message: str
    remedy: str
