"""`infisical-iac`: the commands, and how they fail."""

from importlib import import_module
from typing import Any

import click

from infisical_iac.errors import UserError

# What click gives wrong options is what a plan gives for changes.
click.UsageError.exit_code = 1

# In the order in which one comes to need them; each is in the module of its name.
_COMMANDS = (
    *("init", "plan", "apply", "verify", "status", "drift", "audit"),
    *("workspace", "destroy"),
)


class _Commands(click.Group):
    """A group that imports a command when it is asked for.

    A UserError ends it with a sentence and exit status 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__package__}.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infisical-iac")
def main() -> None:
    """Run one's own Infisical, as code.

    Exit status: 0 for success and for nothing to change, 2 for changes that a plan found, 1 for
    an error, which is told in one sentence.

    Shell completion: add `eval "$(_INFISICAL_IAC_COMPLETE=bash_source infisical-iac)"` to
    ~/.bashrc; zsh_source and fish_source likewise.
    """
