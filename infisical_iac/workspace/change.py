"""A change: what a person reads of it, and the requests that make it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


class Made(str):
    """Stands for the id of something that an earlier change makes, such as `identity x`.

    Its first word is also the key under which the answer holds what was made.
    """


@dataclass(frozen=True)
class Call:
    """One request; parts of its path and values of its body may be a `Made`.

    Attributes:
        makes: what the id in the answer is of.
        by_admin: whether it takes the administrator's own token, which no machine has.
        shows: what of the answer the operator must see, for nobody can ask for it again.
    """

    method: Literal["POST", "PATCH", "DELETE"]
    path: tuple[str, ...]
    body: Mapping[str, Any] | None = None
    makes: Made | None = None
    by_admin: bool = False
    shows: Callable[[Mapping[str, Any]], str] | None = None


@dataclass(frozen=True)
class Change:
    """One difference and its repair.

    Attributes:
        kind: `+` makes, `~` sets right, `-` takes away.
        what: what it is about, such as `identity backend-production`.
        detail: from what to what, where that says more.
        calls: the requests, in order.
        shown: of a change that is made: a sentence for the operator's eyes, such as one with an
            invitation's link; to be printed once and kept nowhere.
    """

    kind: Literal["+", "~", "-"]
    what: str
    detail: str = ""
    calls: tuple[Call, ...] = field(default=(), repr=False)
    shown: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f": {self.detail}" if self.detail else "")
