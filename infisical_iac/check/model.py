"""Findings of a check, and what code reads from its environment; no value is in them."""

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class CheckFinding:
    """Something that isn't as it should be or, as a note, that a person should know.

    Attributes:
        kind: a slug, such as `missing-key`.
        place: a path, with a line if there is one, or a folder of Infisical.
        key: the name that it is about, or "".
        message: what is there, and the remedy, in sentences.
        is_note: whether all is well in spite of it.
    """

    kind: str
    place: str
    key: str
    message: str
    is_note: bool = False


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
    """The keys that one file reads.

    Attributes:
        dynamic: the lines that read a key whose name is only known when the code runs.
        error: why it can't be read as code, or not in full; or "".
    """

    found: list[Read] = field(default_factory=list)
    dynamic: list[int] = field(default_factory=list)
    error: str = ""
