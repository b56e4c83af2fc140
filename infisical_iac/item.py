"""One difference between what is and what should be, for people to read."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["+", "~", "-"]


@dataclass(frozen=True)
class Item:
    """One difference between what is and what should be.

    Attributes:
        kind: `+` makes, `~` sets right, `-` takes away.
        what: what it is about, such as `/etc/docker/daemon.json`.
        detail: from what to what, where that says more.
        diff: the lines of a file that differ, without any secret.
    """

    kind: Kind
    what: str
    detail: str = ""
    diff: str = field(default="", kw_only=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f": {self.detail}" if self.detail else "")
