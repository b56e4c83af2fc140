"""Call every command in the working directory, and print each result as a line of JSON.

The Python of an installation runs this text as a program, so it must not import the tests.
"""

import json
from collections.abc import Iterator

import click
from click.testing import CliRunner

from infisical_iac.cli.main import main

# The value for each required argument and option, except for files and directories.
_WORD = "OBVIOUSLY_FAKE"
# Commands that need nothing of a repository, or that write one.
_LEFT_OUT = {("docs",), ("eject",), ("init",)}


def _leaves(command: click.Command, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield names, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _leaves(found, *names, name)


def _fill_required(command: click.Command) -> Iterator[str]:
    for each in command.params:
        if not each.required:
            continue
        is_option = isinstance(each, click.Option)
        if is_option:
            yield each.opts[-1]
        is_path = isinstance(each.type, click.Path)
        yield (_WORD if is_option else ".") if is_path else _example(each.type)


def _example(of: object) -> str:
    return str(next(iter(of.choices))) if isinstance(of, click.Choice) else _WORD


if __name__ == "__main__":
    for names, command in _leaves(main):
        if names in _LEFT_OUT:
            continue
        arguments = [*names, *_fill_required(command)]
        done = CliRunner().invoke(main, arguments)
        unexpected = "" if isinstance(done.exception, SystemExit | None) else repr(done.exception)
        print(json.dumps([" ".join(arguments), done.exit_code, done.output, unexpected]))
