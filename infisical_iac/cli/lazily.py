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
        prefix: what the names of the modules begin with; the rest is the command's name, with
            underscores, which is the function's too, or is `<name>_command` where that would hide
            one of Python's.
        module: the module of all the functions, where they share one.
        modules: by the command's name, the module of its function, where it is another one.
    """

    def __init__(
        self,
        *args: Any,
        summaries: Mapping[str, str],
        prefix: str = "",
        module: str = "",
        modules: Mapping[str, str] = {},
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._summaries, self._prefix, self._module = summaries, prefix, module
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which one comes to need them."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._summaries:
            return None
        name = cmd_name.replace("-", "_")
        own = self._modules.get(cmd_name, self._module or self._prefix + name)
        module = import_module(f"{__package__}.{own}")
        command: click.Command = getattr(module, f"{name}_command", None) or getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))
