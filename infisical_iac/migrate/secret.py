"""A value on its way, and where it goes."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Name(NamedTuple):
    """Where a secret is in the project."""

    environment: str
    folder: str
    key: str

    def __str__(self) -> str:
        return f"{self.environment}{self.folder.rstrip('/')}/{self.key}"


@dataclass(frozen=True)
class Secret:
    """A value that is to be in Infisical, with where it stands today.

    Attributes:
        file: relative to the plan's root.
        is_literal: whether a person allowed it to hold what Infisical takes for a reference.
    """

    name: Name
    value: str = field(repr=False)
    file: str
    line: int
    is_literal: bool = False


@dataclass(frozen=True)
class Stored:
    """Hold what Infisical has under a name; `is_hidden` if it does not show the value."""

    value: str = field(repr=False)
    comment: str = ""
    is_hidden: bool = False
