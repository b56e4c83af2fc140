"""Find what code reads from its environment."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Read(NamedTuple):
    """A place where code reads a key.

    Attributes:
        line: counted from 1.
        is_optional: whether the code has a default, or asks first whether it is there.
    """

    key: str
    line: int
    is_optional: bool = False


@dataclass
class Reads:
    """Hold what one file reads.

    Attributes:
        dynamic: the lines that read a key whose name is only known when the code runs.
        error: why it can't be read as code, or not in full; or "".
    """

    found: list[Read] = field(default_factory=list)
    dynamic: list[int] = field(default_factory=list)
    error: str = ""
