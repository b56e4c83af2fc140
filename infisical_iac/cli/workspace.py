"""`infisical-iac workspace`: the inside of Infisical alone."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.cli.reach import Reached, reach
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.converge import converge
from infisical_iac.workspace.difference import difference
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.state import remember

CHANGES = 2
_COLORS = {"+": "green", "~": "yellow", "-": "red"}


@click.group()
def workspace() -> None:
    """Compare and set right what is inside Infisical: project, environments, identities.

    The host is that of the inventory, through its SSH connection. With INFISICAL_API_URL set, it
    is the Infisical there, wherever that runs; INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET
    are then those of a machine identity that is an admin of the organization, and
    INFISICAL_ADMIN_EMAIL names the person who shall see the project.
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        json_option,
        click.option(
            "--isolation",
            type=click.Choice(["privilege", "viewer"]),
            help="How an identity is kept to its folder [default: the setting]",
        ),
        click.option(
            "--file",
            type=click.Path(path_type=Path),
            help="The workspace file [default: the setting workspace_file]",
        ),
        inventory_option,
    ):
        command = option(command)
    return command


@workspace.command()
@_options
@click.pass_context
def plan(
    ctx: click.Context,
    inventory: str,
    file: Path | None,
    isolation: Isolation | None,
    as_json: bool,
) -> None:
    """Show what `apply` would change, item by item, and change nothing.

    Exit status: 0 for nothing, 2 for changes, 1 for an error.
    """
    with reach(inventory, file, isolation) as reached:
        changes = _changes(reached)
    _show(changes, as_json=as_json)
    ctx.exit(CHANGES if changes else 0)


@workspace.command()
@_options
@click.option("--yes", is_flag=True, help="Don't ask.")
def apply(
    inventory: str,
    file: Path | None,
    isolation: Isolation | None,
    as_json: bool,
    yes: bool,
) -> None:
    """Show the plan, ask, and make the changes.

    Nothing that this project did not make is deleted. Exit status: 0 when everything is as the
    file says, 1 for an error, or for no to the question.
    """
    made: list[Change] = []
    with reach(inventory, file, isolation, writes=True) as reached:
        changes = _changes(reached)
        if changes and not yes:
            _show(changes, as_json=False, to_stderr=True)
            click.confirm("Make these changes?", abort=True, err=True)
        actual = converge(
            reached.client,
            reached.desired,
            isolation=reached.isolation,
            admin_email=reached.admin_email,
            remembered=reached.remembered,
            tell=made.append if as_json else _tell_and(made.append),
        )
        reached.remember(remember(actual))
    if as_json:
        _show(made, as_json=True)
    else:
        click.echo(_count(made) if made else "Nothing to change.")


def _count(made: Sequence[Change]) -> str:
    return f"{len(made)} change{'s' if len(made) != 1 else ''} made."


def _changes(reached: Reached) -> list[Change]:
    actual = read(
        reached.client,
        workspace=reached.desired,
        isolation=reached.isolation,
        admin_email=reached.admin_email,
    )
    return difference(
        reached.desired,
        actual,
        isolation=reached.isolation,
        admin_email=reached.admin_email,
        remembered=reached.remembered,
    )


def _tell_and(also: Callable[[Change], None]) -> Callable[[Change], None]:
    def tell(change: Change) -> None:
        _show([change], as_json=False)
        also(change)

    return tell


def _show(changes: Sequence[Change], *, as_json: bool, to_stderr: bool = False) -> None:
    if as_json:
        items = [{"kind": c.kind, "what": c.what, "detail": c.detail} for c in changes]
        click.echo(json.dumps({"changes": items}, indent=2, ensure_ascii=False))
        return
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    for change in changes:
        console.print(Text(str(change), style=_COLORS[change.kind]))
    if not changes:
        console.print("Nothing to change.")
