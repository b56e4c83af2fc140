"""`infisical-iac`: the commands, and how they fail."""

from typing import Any

import click

from infisical_iac.cli.items import LAYOUT, printable
from infisical_iac.cli.lazily import LazyGroup
from infisical_iac.errors import UserError

# What click gives wrong options is what a plan gives for changes.
click.UsageError.exit_code = 1

_COMMANDS = (
    *("init", "server", "plan", "apply", "verify", "status", "drift", "audit"),
    *("workspace", "credentials", "keys", "migrate", "check"),
    *("backup", "recovery-kit", "restore", "rollback", "destroy"),
    *("scale-out", "scale-in"),
)


class _Telling(LazyGroup):
    """A group whose commands fail with a sentence and exit status 1 for a UserError."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(printable(str(error), keep=LAYOUT)) from None


@click.group(
    cls=_Telling,
    modules={name: name.replace("-", "_") for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="infisical-iac")
def main() -> None:
    """Run one's own Infisical, as code.

    Exit status: 0 for success and for nothing to change, 2 for changes that a plan found, 1 for
    an error, which is told in one sentence.

    Shell completion: add `eval "$(_INFISICAL_IAC_COMPLETE=bash_source infisical-iac)"` to
    ~/.bashrc; zsh_source and fish_source likewise.
    """
