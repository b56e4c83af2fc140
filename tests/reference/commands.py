"""The reference of commands, from click."""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from infisical_iac.cli.main import LazyGroup, main

PATH = Path("docs/reference/commands.md")
_NAME = "infisical-iac"
_INTRODUCTION = """\
# Commands

<!-- `make docs` writes this file from the command line itself: edit the texts there. -->

`infisical-iac COMMAND --help` prints the same.
"""


def write(command: click.Command = main) -> str:
    """Return the text of the page."""
    context = _context(command, None, _NAME)
    lines = [_INTRODUCTION, *_body(command), *_index(command, context)]
    return "\n".join([*lines, *_subcommands(command, context)])


def _context(command: click.Command, parent: click.Context | None, name: str) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, max_content_width=100)


def _index(command: click.Command, context: click.Context) -> Iterator[str]:
    assert isinstance(command, LazyGroup)
    for heading, names in command.sections.items():
        yield f"**{heading}**\n"
        yield from _list(command, context, names)


def _list(group: click.Group, context: click.Context, names: Sequence[str] = ()) -> Iterator[str]:
    yield "| command | |"
    yield "|---|---|"
    for name in names or group.list_commands(context):
        found = _get(group, context, name)
        summary = found.get_short_help_str(limit=1000)
        if isinstance(group, LazyGroup):
            summary = group.summaries[name]
        path = f"{context.command_path} {name}"
        yield f"| [`{path}`](#{path.replace(' ', '-')}) | {_escape(summary)} |"
    yield ""


def _get(group: click.Group, context: click.Context, name: str) -> click.Command:
    found = group.get_command(context, name)
    assert found is not None
    return found


def _subcommands(command: click.Command, context: click.Context) -> Iterator[str]:
    if not isinstance(command, click.Group):
        return
    sections = command.sections.values() if isinstance(command, LazyGroup) else ()
    ordered = [name for names in sections for name in names] or command.list_commands(context)
    for name in ordered:
        found = _get(command, context, name)
        inner = _context(found, context, name)
        yield f"## {inner.command_path}\n"
        yield f"    {_usage(found, inner)}\n"
        yield from _body(found)
        if isinstance(found, click.Group):
            yield from _list(found, inner)
        yield from _options(found, inner)
        yield from _subcommands(found, inner)


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _body(command: click.Command) -> Iterator[str]:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    for each in paragraphs:
        yield f"{re.sub(r'^Exit status:', '**Exit status**:', each)}\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = (each for each in command.params if isinstance(each, click.Option))
    records = [each.get_help_record(context) for each in options]
    rows = [
        f"| `{_escape(names)}` | {_escape(meaning)} |" for names, meaning in filter(None, records)
    ]
    if rows:
        yield "| option | meaning |"
        yield "|---|---|"
        yield from rows
        yield ""


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
