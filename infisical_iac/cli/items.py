"""Items of a plan, and of what a run changed, as text and as JSON."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from infisical_iac.item import Item, together

# Of tables that go into a file or a CI job's log.
_WIDTH = 120
_COLORS = {"+": "green", "~": "yellow", "-": "red"}


def console(*, stderr: bool = False) -> Console:
    """Where text for people goes; lines are as long as they are."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=True)


def as_data(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The items as JSON holds them."""
    return [
        {"kind": each.kind, "what": each.what, "detail": each.detail, "diff": each.diff}
        | ({"host": each.host} if each.host else {})
        for each in items
    ]


def print_data(data: Any) -> None:
    """Print data as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def show(items: Iterable[Item], unknown: Iterable[str], to: Console) -> None:
    """Print each item in a line, its diff below it, and then what can't be seen yet."""
    for item in together(items):
        to.print(Text(str(item), style=_COLORS[item.kind]))
        for line in item.diff.splitlines():
            to.print(Text(f"    {line}", style=_COLORS.get(line[:1].replace("@", "~"), "dim")))
    for sentence in unknown:
        to.print(Text(f"? {sentence}", style="cyan"))


def counted(number: int, what: str) -> str:
    """A number with a noun, such as `2 secrets`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def count(items: Sequence[object]) -> str:
    """How many items, such as `1 change`."""
    return counted(len(items), "change")
