"""Print plans, tables, notes and questions."""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from infisical_iac.core import terminal
from infisical_iac.core.change import Change, together
from infisical_iac.core.errors import Refused, printable
from infisical_iac.core.terminal import console, echo, print_note
from infisical_iac.core.wording import pluralize

_COLORS = {"+": "green", "~": "yellow", "-": "red", "!": "bold red", "*": "magenta"}
_SCREEN = 30
_FOREIGN = (
    "access that the project file does not grant (*) stays: `infisical-iac workspace apply "
    "--prune` removes it; to keep it, add it to `accepted` in the file"
)


def as_data(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return the changes as data for JSON."""
    return [
        {"kind": each.kind, "what": each.what, "detail": each.detail, "diff": each.diff}
        | ({"host": each.host} if each.host else {})
        for each in changes
    ]


def show(changes: Iterable[Change], unknown: Iterable[str] = (), *, stderr: bool = False) -> None:
    """Print each change on a line with its diff below, and then what can't be seen yet."""
    to = console(stderr=stderr)
    for change in together(changes):
        to.print(Text(printable(str(change)), style=_COLORS[change.kind]))
        for line in change.diff.splitlines():
            to.print(Text(f"    {line}", style=_COLORS.get(line[:1].replace("@", "~"), "dim")))
    for sentence in unknown:
        to.print(Text(f"? {sentence}", style="cyan"))


def show_plan(
    steps: Sequence[tuple[str, Sequence[Change]]],
    blocked: Sequence[Change],
    unknown: Iterable[str],
    *,
    stderr: bool = False,
) -> None:
    """Print a plan as `show` does; a plan that is longer than a screen has a heading for each step.

    Args:
        steps: the name of each step that would change something, with its changes.
        blocked: the blocked parts.
        unknown: the sentences on what can't be seen yet.
    """
    to = console(stderr=stderr)
    is_long = sum(len(changes) for _, changes in steps) > _SCREEN
    for name, changes in steps:
        if is_long:
            to.print(Text(f"{name}: {count(changes)}", style="bold"))
        show(changes, stderr=stderr)
    show(blocked, unknown, stderr=stderr)


def print_foreign(found: Iterable[Change]) -> None:
    """Print access that the project file does not grant, and what to do about it."""
    changes = list(found)
    show(changes)
    if changes:
        print_notes([_FOREIGN])


def print_notes(notes: Iterable[str]) -> None:
    """Print notes on standard error, next to the output of the command."""
    for note in notes:
        print_note(note)


_LINK = re.compile(r"invitation link for (\S+): ")


def explain_links(sentences: Iterable[str]) -> str:
    """Return a sentence on the invitation links among `sentences`; empty if there are none."""
    invited = [found[1] for each in sentences if (found := _LINK.match(each))]
    if not invited:
        return ""
    what, email = "The link is shown only once: send it to that person only.", invited[0]
    if len(invited) > 1:
        what, email = "Links are shown only once: send each to its person only.", "EMAIL"
    return f"{what} `infisical-iac workspace invite {email}` makes a new one."


def print_table(
    columns: Iterable[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Container[str] = (),
    width: int | None = None,
    title: str | None = None,
) -> None:
    """Print a table.

    Args:
        numbers: the names of the columns that are aligned to the right.
        width: the width of the table in characters; None for that of the terminal.
    """
    table = Table(title=title, title_justify="left", pad_edge=False, box=None)
    for column in columns:
        if column in numbers:
            table.add_column(column, justify="right", no_wrap=True, min_width=len(column))
        else:
            table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    to = console()
    to.width = width or to.width
    to.print(table)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question, unless `yes` is set.

    Raises click.Abort for no, and Refused if there is nobody to answer.
    """
    if yes:
        return
    with answered_by("--yes"):
        agreed = terminal.confirm(question, err=True)
    if not agreed:
        raise click.Abort


@contextmanager
def answered_by(option: str) -> Iterator[None]:
    """Raise Refused if standard input ends at a question, naming the option that answers it."""
    try:
        yield
    except click.Abort as abort:
        # Ctrl-C ends the command without advice.
        if not isinstance(abort.__context__, EOFError):
            raise
        echo(err=True)  # End the line of the question.
        raise Refused(
            f"the question was not answered, as standard input has ended: give {option}",
            code="refused.no_answer",
        ) from None


def confirm_name(what: str, whose: str, name: str, given: str | None) -> None:
    """Have the user type a name before something is done. Raises Refused for another name.

    Args:
        what: a sentence on what is going to be done.
        whose: the owner of the name, such as "the host's".
        name: the name to type.
        given: the name that was given as an option; None to ask for it.
    """
    question = f"{what} Type {whose} name, {name}"
    with answered_by(f"--confirm {name}"):
        typed = given or terminal.prompt(question, str, "", err=True)
    if typed != name:
        raise Refused(f"{typed!r} is not {whose} name: nothing was done; run again and type {name}")


def count(changes: Sequence[object]) -> str:
    """Return the number of changes, such as `1 change`."""
    return pluralize(len(changes), "change")
