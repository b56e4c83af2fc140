"""Differences between what is and what should be, and lines of a status, for people to read."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["+", "~", "-", "!", "*"]


@dataclass(frozen=True)
class Item:
    """One difference between what is and what should be.

    Attributes:
        kind: `+` makes, `~` sets right, `-` takes away; `!` can't be looked at or set right; `*`
            is access that nothing in the file gives, which stays.
        what: what it is about, such as `/etc/docker/daemon.json`.
        detail: from what to what, where that says more.
        diff: the lines of a file that differ, without any secret.
        host: on which one, where there are several; or on which ones, divided by commas.
    """

    kind: Kind
    what: str
    detail: str = ""
    diff: str = field(default="", kw_only=True)
    host: str = field(default="", kw_only=True)

    def read(self) -> "Item":
        """Return the item, with what only the host can tell of it."""
        return self

    def __str__(self) -> str:
        of = f"{self.host}: " if self.host else ""
        return f"{self.kind} {of}{self.what}" + (f": {self.detail}" if self.detail else "")


class Unknown(str):
    """A sentence on what an operation can't see before earlier ones have done their work."""


class UpToDate(str):
    """A sentence on why an operation has nothing to do."""


def together(items: Iterable[Item]) -> list[Item]:
    """The same items; those that are the same on several hosts are one, where the first is."""
    merged: list[Item] = []
    places: dict[tuple[str, ...], int] = {}
    for item in items:
        same = (item.kind, item.what, item.detail, item.diff)
        hosts = merged[places[same]].host.split(", ") if same in places else [item.host]
        if item.host not in hosts:
            merged[places[same]] = replace(item, host=", ".join([*hosts, item.host]))
        else:
            places[same] = len(merged)
            merged.append(item)
    return merged


def with_names(sentences: Mapping[str, Collection[str]], *, of: int) -> list[str]:
    """Return sentences with the names of their hosts, unless they are those of all hosts."""
    return [
        sentence if len(names) == of else f"{', '.join(names)}: {sentence}"
        for sentence, names in sentences.items()
    ]


@dataclass(frozen=True)
class Row:
    """One line of a status.

    Attributes:
        name: what it is about.
        text: what is to be said of it.
        ok: whether nothing is wrong with it.
        is_note: whether it only informs, as where nothing of the kind has happened yet: nothing is
            wrong then, and nothing is proven either.
    """

    name: str
    text: str
    ok: bool = True
    is_note: bool = False
