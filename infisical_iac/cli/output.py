"""Items of a plan, and of what a run changed, as text and as JSON."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from infisical_iac.core.errors import LAYOUT, printable
from infisical_iac.core.item import Item, together

# Of tables that go into a file or a CI job's log.
_WIDTH = 120
_COLORS = {"+": "green", "~": "yellow", "-": "red", "!": "bold red", "*": "magenta"}


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a text for people as `click.echo` does, with control characters escaped."""
    click.echo(printable(str(text), keep=LAYOUT), err=err)  # noqa: TID251


class _Console(Console):
    """A console that escapes control characters in the text of whatever it prints."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Control segments are rich's own: they move the cursor of a progress bar.
            if not segment.control:
                segment = segment._replace(text=printable(segment.text, keep=LAYOUT))
            yield segment


def console(*, stderr: bool = False) -> Console:
    """Return the console for people's text; long lines are not wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH
    return _Console(file=stream, width=width, highlight=False, soft_wrap=True)


def as_data(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The items as JSON holds them."""
    return [
        {"kind": each.kind, "what": each.what, "detail": each.detail, "diff": each.diff}
        | ({"host": each.host} if each.host else {})
        for each in items
    ]


def print_data(data: Any) -> None:
    """Print data as JSON, with the characters escaped that a terminal would obey."""
    click.echo(as_json(data, indent=2))  # noqa: TID251


def as_json(data: Any, *, indent: int | None = None) -> str:
    """Return data as JSON in which each character that is not printable is escaped."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return re.sub(r"[^\n -~]", lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


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
