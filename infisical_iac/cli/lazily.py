"""Groups of commands that import a command only when it runs."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are functions in modules of this package.

    The list of commands is printed without importing them, as that would take longer than most
    commands do.

    Args:
        summaries: the line on each command in the list, by the command's name.
        sections: the commands below each heading of the list, in their order; empty for one list of
            all commands.
        module: the module of a command, with {} for the name of its function. That is the command's
            name with underscores, or `<name>_command` if Python has a built-in of this name.
        modules: the module of a command that is in another one, by the command's name.
    """

    def __init__(
        self,
        *args: Any,
        summaries: Mapping[str, str],
        sections: Mapping[str, Sequence[str]] = {},
        module: str = "{}",
        modules: Mapping[str, str] = {},
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.summaries, self._module, self._modules = summaries, module, modules
        self.sections = sections or {"Commands": [*summaries]}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.summaries:
            return None
        name = cmd_name.replace("-", "_")
        own = self._modules.get(cmd_name, self._module.format(name))
        module = import_module(f"{__package__}.{own}")
        command: click.Command = getattr(module, f"{name}_command", None) or getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands below their headings, with aligned summaries."""
        width = max(map(len, self.summaries))
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), self.summaries[name]) for name in names])
