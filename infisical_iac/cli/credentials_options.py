"""Options and arguments of `infisical-iac credentials`."""

import os
import re
import stat
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from infisical_iac.cli.options import inventory_option, workspace_file_option
from infisical_iac.cli.output import echo
from infisical_iac.workspace.credentials_reach import CredentialsError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_PRODUCTION = "production"


def _span(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    match = re.fullmatch(r"(0)|([0-9]{1,4})([mhd])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no span of time: write such as 90m, 24h, 7d, or 0")
    return timedelta() if match[1] else timedelta(**{_UNITS[match[3]]: int(match[2])})


service_argument = click.argument("service")
environment_option = click.option(
    *("--env", "--environment", "environment"),
    required=True,
    metavar="ENVIRONMENT",
    help="The environment's slug, such as production.",
)
deploy_option = click.option(
    "--deploy", is_flag=True, help="Let Dokploy deploy the service once it has them."
)
overlap_option = click.option(
    "--overlap",
    callback=_span,
    default="24h",
    metavar="SPAN",
    show_default=True,
    help="How long the old client secret goes on working; 0 revokes it at once.",
)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where Infisical, the workspace file and the credentials' files are."""
    for option in (
        click.option(
            "--credentials",
            "where",
            type=click.Path(file_okay=False, path_type=Path),
            help="At a URL: the directory of the credentials' files.",
        ),
        workspace_file_option,
        inventory_option,
    ):
        command = option(command)
    return command


def may_show(name: str, environment: str, *, yes: bool, into: Path | None = None) -> None:
    """Return if credentials may be shown, and warn where standard output keeps or shows them.

    Raises CredentialsError for those of the environment `production` without `yes`.

    Args:
        into: the file that they are written to instead.
    """
    if environment == _PRODUCTION and not yes:
        raise CredentialsError(
            f"{name} are credentials of production, which belong on no other machine: give --yes "
            "if you mean it"
        )
    if into is not None:
        return
    if sys.stdout.isatty():
        echo(
            "Warning: this terminal shows a client secret, and may keep it; write it to a file "
            "with --output",
            err=True,
        )
    elif _others_can_read_output():
        echo(
            "Warning: others can read the file that this client secret goes to; write it with "
            "--output, which makes it 0600",
            err=True,
        )


def _others_can_read_output() -> bool:
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # such as a stream of a test
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o077)
