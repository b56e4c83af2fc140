"""A change at Hetzner Cloud: an item of the plan, with what makes it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infisical_iac.item import Item, Kind


@dataclass(frozen=True)
class Change:
    """An item of the plan, and what makes it."""

    item: Item
    make: Callable[[], None]


Changes = Iterator[Change]


def change(kind: Kind, what: str, detail: str, make: Callable[[], None]) -> Change:
    """The change that `make` makes."""
    return Change(Item(kind, what, detail), make)
