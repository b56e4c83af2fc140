"""Groups of commands that are imported when they are run."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands are functions in modules of this package, by default one in each.

    The list of commands is printed without any of them, since loading them all takes longer than
    most commands do.

    Args:
        summaries: the line of each command in the list, by its name.
        sections: the names of the commands below each heading of the list, in their order; none
            for one list of all commands.
        module: the name of the module of a command, with {} for the name of its function: the
            command's with underscores, or `<name>_command` where that would hide one of Python's.
        modules: the module of a command's function where it is another one, by the command's name.
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
        """Write the list of commands, below their headings and aligned across them."""
        width = max(map(len, self.summaries))
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), self.summaries[name]) for name in names])
