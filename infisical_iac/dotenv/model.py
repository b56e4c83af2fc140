"""The entries of a .env file, and what a grammar finds in its text.

`migrate/model.py` has the findings on files and their services, `check/model.py` those on code.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Quote = Literal["", "'", '"', "`"]


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
