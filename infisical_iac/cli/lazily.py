"""Groups of commands that are imported when they are run."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are functions in modules of this package, by default one in each.

    The list of commands is printed without any of them, since loading them all takes longer than
    most commands do.

    Args:
        summaries: by the command's name, its line in the list.
        module: the name of the module of a command, with {} for the name of its function: the
            command's with underscores, or `<name>_command` where that would hide one of Python's.
        modules: by the command's name, the module of its function, where it is another one.
    """

    def __init__(
        self,
        *args: Any,
        summaries: Mapping[str, str],
        module: str = "{}",
        modules: Mapping[str, str] = {},
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._summaries, self._module, self._modules = summaries, module, modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._summaries:
            return None
        name = cmd_name.replace("-", "_")
        own = self._modules.get(cmd_name, self._module.format(name))
        module = import_module(f"{__package__}.{own}")
        command: click.Command = getattr(module, f"{name}_command", None) or getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))
