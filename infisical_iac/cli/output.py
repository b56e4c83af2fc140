"""Items of a plan, and of what a run changed, as text and as JSON."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from infisical_iac.core.errors import printable
from infisical_iac.core.item import Item, together

_COLORS = {"+": "green", "~": "yellow", "-": "red", "!": "bold red", "*": "magenta"}


def as_data(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The items as JSON holds them."""
    return [
        {"kind": each.kind, "what": each.what, "detail": each.detail, "diff": each.diff}
        | ({"host": each.host} if each.host else {})
        for each in items
    ]


def show(items: Iterable[Item], unknown: Iterable[str], to: Console) -> None:
    """Print each item in a line, its diff below it, and then what can't be seen yet."""
    for item in together(items):
        to.print(Text(printable(str(item)), style=_COLORS[item.kind]))
        for line in item.diff.splitlines():
            to.print(Text(f"    {line}", style=_COLORS.get(line[:1].replace("@", "~"), "dim")))
    for sentence in unknown:
        to.print(Text(f"? {sentence}", style="cyan"))


def counted(number: int, what: str) -> str:
    """A number with a noun, such as `2 secrets`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def count(items: Sequence[object]) -> str:
    """Return how many items, such as `1 change`."""
    return counted(len(items), "change")


# In the order in which a sentence counts them.
