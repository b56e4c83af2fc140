"""A change: what a person reads of it, and the requests that make it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infisical_iac.core.item import Item


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
class Change(Item):
    """One difference inside Infisical and its repair.

    Attributes:
        calls: the requests, in order.
        shown: of a change that is made: a sentence for the operator's eyes, such as one with an
            invitation's link; to be printed once and kept nowhere.
    """

    calls: tuple[Call, ...] = field(default=(), repr=False)
    shown: str = field(default="", repr=False, compare=False)
