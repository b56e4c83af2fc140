"""Text for people at a terminal, which must not obey what others wrote."""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from infisical_iac.core.errors import LAYOUT, printable

# Of tables that go into a file or a CI job's log.
_WIDTH = 120


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


# Where click keeps, for one run of the program, that a command's answer has been printed.
_ANSWERED = f"{__name__}.answered"


def print_data(data: Any, *, indent: int | None = 2) -> None:
    """Print a command's answer as JSON, with the characters escaped that a terminal would obey."""
    click.echo(as_json(data, indent=indent))  # noqa: TID251
    if context := click.get_current_context(silent=True):
        context.meta[_ANSWERED] = True


def print_failure(code: str, message: str, remedy: str = "") -> None:
    """Print a failure as one line of JSON: on standard error if the answer is there already."""
    answered = _ANSWERED in click.get_current_context().meta
    failure = {"code": code, "message": message, "remedy": remedy}
    click.echo(as_json(failure), err=answered)  # noqa: TID251


def as_json(data: Any, *, indent: int | None = None) -> str:
    """Return data as JSON in which each character that is not printable is escaped."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return re.sub(r"[^\n -~]", lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]
