"""Print and ask with control characters escaped: a terminal must not obey untrusted text."""

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from infisical_iac.core.errors import LAYOUT, printable

_T = TypeVar("_T")

# The width of tables in a file or in the log of a CI job.
_WIDTH = 120


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a text as `click.echo` does, with control characters escaped."""
    click.echo(printable(str(text), keep=LAYOUT), err=err)  # noqa: TID251


def print_note(sentence: str) -> None:
    """Print a note on standard error, next to the output of the command."""
    echo(f"Note: {sentence}", err=True)


class _Console(Console):
    """A console that escapes control characters in all that it prints."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # Control segments come from rich, which moves the cursor of a progress bar.
            if not segment.control:
                segment = segment._replace(text=printable(segment.text, keep=LAYOUT))
            yield segment


def console(*, stderr: bool = False) -> Console:
    """Return a console for text; long lines are not wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDTH
    return _Console(file=stream, width=width, highlight=False, soft_wrap=True)


def prompt(
    question: str,
    check: Callable[[str], _T],
    default: str | None = None,
    *,
    err: bool = False,
    hidden: bool = False,
) -> _T:
    """Ask for a text, with control characters of the question escaped.

    Args:
        check: converts an answer; click.UsageError in it asks again.
        default: the answer of a person who types nothing; None requires one.
        hidden: whether the terminal does not show what is typed, such as a password.

    Raises click.Abort if standard input ends.
    """
    shown = printable(question, keep=LAYOUT)
    answer: _T = click.prompt(  # noqa: TID251
        shown, default, value_proc=check, show_default=False, err=err, hide_input=hidden
    )
    return answer


def prompt_secret(question: str) -> str:
    """Ask for a text that the terminal does not show. Raises click.Abort if the input ends."""
    shown = printable(question, keep=LAYOUT)
    answer: str = click.prompt(shown, hide_input=True, err=True)  # noqa: TID251
    return answer


def confirm(question: str, *, default: bool = False, err: bool = False) -> bool:
    """Ask a question that is answered by yes or no, escaped as in `prompt`."""
    shown = printable(question, keep=LAYOUT)
    return click.confirm(shown, default=default, err=err)  # noqa: TID251


# The key in click's context, which lasts for one run, that is set once an answer was printed.
_ANSWERED = f"{__name__}.answered"


def print_data(data: Any, *, indent: int | None = 2) -> None:
    """Print the answer of a command as JSON."""
    click.echo(as_json(data, indent=indent))  # noqa: TID251
    if context := click.get_current_context(silent=True):
        context.meta[_ANSWERED] = True


def print_failure(code: str, message: str, remedy: str = "") -> None:
    """Print a failure as one line of JSON; on standard error if the answer was printed before."""
    answered = _ANSWERED in click.get_current_context().meta
    failure = {"code": code, "message": message, "remedy": remedy}
    click.echo(as_json(failure), err=answered)  # noqa: TID251


def as_json(data: Any, *, indent: int | None = None) -> str:
    """Return data as JSON, with all characters escaped that are not printable."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    return re.sub(r"[^\n -~]", lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]
