"""`infisical-iac`: the list of all commands, loaded when they run, and the report of failures."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from importlib import import_module
from typing import Any

import click

from infisical_iac.core.errors import UserError

# click's own status for wrong options, 2, means changes here.
click.UsageError.exit_code = 1


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


_COMMANDS = {
    "First steps": {
        "init": "Write the settings of a first deploy.",
        "plan": "Show what apply would change.",
        "apply": "Bring the host and Infisical to the declared state.",
        "verify": "Check the host from end to end, read-only.",
        "migrate": "Move .env files into Infisical, with proof.",
    },
    "Every day": {
        "status": "Show the health of the deployment on one screen.",
        "check": "Check a repository of services for secrets and missing keys.",
        "secrets": "List, set, unset and compare secrets without the web page.",
        "credentials": "List, show, deliver, rotate and revoke service credentials.",
        "workspace": "Plan and apply the project file only; invite people.",
        "isolation": "Move the secrets to a project for each service, or back.",
        "outdated": "Show new versions of this tool and of the images.",
        "alerts": "Send a test alert to each target.",
        "silence": "Hold back the host's alerts for a time.",
        "drift": "Report drift to a webhook and to Prometheus.",
        "audit": "Show who changed the host, and who read which secrets.",
        "mail": "Send a test mail by Infisical's mail server.",
        "keys": "List the host's keys, and rotate one.",
        "eject": "Replace a template by your own.",
        "docs": "Print a page of the documentation.",
    },
    "Recovery": {
        "backup": "Make a backup now, and list the snapshots.",
        "recovery-kit": "Write all keys into one encrypted file.",
        "restore": "Restore a snapshot, onto this host or a bare one.",
        "rollback": "Go back to a release that an upgrade kept.",
        "attach": "Follow a change that goes on on the host.",
    },
    "Server": {
        "server": "Create, replace and destroy the server at Hetzner Cloud.",
        "destroy": "Remove Infisical from the host, after a backup.",
    },
    "Cluster": {
        "scale-out": "Move from a single host to a cluster.",
        "scale-in": "Move from a cluster to one of its hosts.",
    },
}


class _ReportingGroup(LazyGroup):
    """A group that reports a UserError of its commands as one sentence, with exit status 1.

    With --json, the failure is printed as JSON too.
    """

    def invoke(self, ctx: click.Context) -> Any:
        as_json = "--json" in ctx.args
        try:
            return self._invoke(ctx)
        except (UserError, click.ClickException, click.Abort) as error:
            if as_json:
                _print(error)
            if isinstance(error, UserError):
                raise click.ClickException(str(error)) from None
            raise

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise _explain_unknown(error) from None


_LEAST_LIKENESS = 0.7  # click itself suggests even `--env` for `--yes`


def _explain_unknown(error: click.NoSuchOption) -> click.NoSuchOption:
    """Return the error on an unknown option, with the names of similar options."""
    name = error.option_name
    close = [
        each
        for each in error.possibilities or ()
        if SequenceMatcher(None, name, each).ratio() >= _LEAST_LIKENESS
    ]
    message = None
    if name == "--yes" and error.ctx:
        own = {each for param in error.ctx.command.params for each in param.opts}
        instead = "this command has nothing to confirm: leave it out"
        if "--confirm" in own:
            instead = "this command asks for a name: give it by --confirm"
        message = f"No such option '--yes', as {instead}."
    return click.NoSuchOption(name, message, close, error.ctx)


def _print(error: UserError | click.ClickException | click.Abort) -> None:
    # The import is slow, and the list of commands does not need it.
    from infisical_iac.core.terminal import print_failure

    if isinstance(error, UserError):
        print_failure(error.code, *error.split())
    elif isinstance(error, click.ClickException):
        print_failure("usage", *UserError(error.format_message()).split())
    else:
        print_failure("aborted", "the command was interrupted, or the question answered with no")


@click.group(
    cls=_ReportingGroup,
    summaries={name: text for each in _COMMANDS.values() for name, text in each.items()},
    sections={heading: [*commands] for heading, commands in _COMMANDS.items()},
    modules={
        "plan": "deploy",
        "apply": "deploy",
        "destroy": "deploy",
        "outdated": "versions",
        "rollback": "versions",
        "eject": "bundle",
        "docs": "bundle",
        "silence": "alerts",
        "drift": "status",
        "scale-out": "scale",
        "scale-in": "scale",
        "recovery-kit": "backup",
        "restore": "backup",
        "server": "main",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="infisical-iac")
def main() -> None:
    """Run your own Infisical, as code.

    Exit status: 0 for success and for nothing to change; 2 for changes that a plan found; 1 for
    an error, reported in one sentence.

    Shell completion: add `eval "$(_INFISICAL_IAC_COMPLETE=bash_source infisical-iac)"` to
    ~/.bashrc; zsh_source and fish_source likewise.
    """


# The group is here because its modules import Hetzner's API library, which the list of its
# commands does not need.
@click.group(
    cls=LazyGroup,
    summaries={
        "plan": "Show the resources to create, with prices.",
        "create": "Create the server and everything that belongs to it.",
        "list": "List the resources at Hetzner Cloud.",
        "adopt": "Take over resources of an earlier version.",
        "replace": "Replace the server, and keep its volume and addresses.",
        "destroy": "Delete the server; the volume stays.",
    },
    module="server",
)
def server() -> None:
    """Create, replace and destroy the server at Hetzner Cloud, with everything that belongs to it.

    The API token is read from HCLOUD_TOKEN; the settings are those with names that begin with
    `server_`. Only resources that carry the labels managed-by=infisical-iac and
    infisical-iac-deployment with the setting `server_name` are ever changed.
    """
