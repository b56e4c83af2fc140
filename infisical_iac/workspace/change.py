"""A change: what a person reads of it, and the requests that make it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


class Made(str):
    """Stands for the id of something that an earlier change makes, such as `identity x`.

    Its first word is also the key under which the answer holds what was made.
    """


@dataclass(frozen=True)
class Call:
    """One request; parts of its path and values of its body may be a `Made`."""

    method: Literal["POST", "PATCH", "DELETE"]
    path: tuple[str, ...]
    body: Mapping[str, Any] | None = None
    makes: Made | None = None


@dataclass(frozen=True)
class Change:
    """One difference and its repair.

    Attributes:
        kind: `+` makes, `~` sets right, `-` takes away.
        what: what it is about, such as `identity backend-production`.
        detail: from what to what, where that says more.
        calls: the requests, in order.
    """

    kind: Literal["+", "~", "-"]
    what: str
    detail: str = ""
    calls: tuple[Call, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f": {self.detail}" if self.detail else "")
