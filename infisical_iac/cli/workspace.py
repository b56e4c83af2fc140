"""`infisical-iac workspace`: the inside of Infisical alone."""

from collections.abc import Callable, Collection, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from infisical_iac.api.identities import organization_id
from infisical_iac.cli.options import (
    FOUND,
    inventory_option,
    json_option,
    lock_options,
    locking,
    workspace_file_option,
    yes_option,
)
from infisical_iac.cli.output import count
from infisical_iac.cli.showing import (
    print_changes,
    print_foreign,
    print_json,
    print_notes,
    print_rotations,
    print_shown,
    unnamed_notes,
)
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.core.terminal import echo
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.inside import WorkspacePlan, look, make
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.people import renew
from infisical_iac.workspace.prune import Removal
from infisical_iac.workspace.reach import Reached, reach


def confirm(removals: Iterable[Removal], names: Collection[str], *, ask: bool) -> None:
    """Return once every name that is needed was given.

    Args:
        names: those given as options.
        ask: whether to ask for the others.

    Raises Refused for a name that is missing or wrong.
    """
    missing = [each for each in removals if each.name and each.name not in names]
    if missing and not ask:
        whats = ", ".join(f"{each.change.what} with {each.holds}" for each in missing)
        options = " ".join(f"--confirm {each.name}" for each in missing)
        raise Refused(f"nothing was changed, for it would delete {whats}: add {options}")
    for name in sorted(set(names) - {each.name for each in removals}):
        raise Refused(f"nothing was changed, for nothing named {name} is to be deleted")
    for each in missing:
        question = f"Type the name {each.name} to delete it with its {each.holds}"
        typed = click.prompt(question, default="", show_default=False, err=True)
        if typed != each.name:
            raise Refused(f"that is not {each.name}: nothing was changed")


@click.command()
@inventory_option
@workspace_file_option
@click.argument("email")
def invite(inventory: str, file: Path | None, email: str) -> None:
    """Print a new invitation link for EMAIL, who was invited but has not come yet.

    The old link no longer works. Exit status: 0 when it is printed, 1 for an error.
    """
    with reach(inventory, file, None) as reached:
        if email.lower() not in reached.desired.people:
            raise UserError(f"{email} is not in `people` of the workspace file: add it first")
        organization = organization_id(reached.client)
        echo(renew(reached.client, reached.admin(), organization, email))


_NO_MEMORY = (
    "at a URL only access is pruned: which environments, folders and imports this project made is "
    "known on its host alone"
)


@click.group()
def workspace() -> None:
    """Compare and set right what is inside Infisical: project, environments, identities.

    The host is that of the inventory, through its SSH connection. With INFISICAL_API_URL set, it
    is the Infisical there, wherever that runs; INFISICAL_CLIENT_ID and INFISICAL_CLIENT_SECRET
    are then those of a machine identity that is an admin of the organization, and
    INFISICAL_ADMIN_EMAIL names the person who shall see the project. People in the file take
    that person's INFISICAL_ADMIN_PASSWORD too.
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        json_option,
        click.option(
            "--prune",
            is_flag=True,
            help="Take away what this project made and the file no longer names; at a URL, "
            "identities alone.",
        ),
        click.option(
            "--isolation",
            type=click.Choice(["privilege", "viewer"]),
            help="How an identity is kept to its folder [default: the setting]",
        ),
        workspace_file_option,
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
    prune: bool,
    as_json: bool,
) -> None:
    """Show what `apply` would change, item by item, and change nothing.

    What this project made and the file no longer names is told beside that, and with `--prune`
    it is among the changes. Exit status: 0 for nothing, 2 for changes, 1 for an error.
    """
    with reach(inventory, file, isolation) as reached:
        planned = look(reached, prune=prune)
        notes = _notes(reached, planned, prune=prune)
    if as_json:
        print_json(planned.due, planned.unnamed, planned.foreign, planned.rotate, notes)
    else:
        print_changes(planned.due)
        if not planned.due:
            echo("Nothing to change.")
        print_foreign(each.item for each in planned.foreign)
        print_rotations(planned.rotate)
        print_notes(notes)
    ctx.exit(FOUND if planned.due else 0)


@workspace.command()
@_options
@yes_option
@click.option(
    "--confirm",
    "names",
    multiple=True,
    metavar="NAME",
    help="The name of an environment, or of a folder such as production/backend, that may be "
    "pruned with the secrets in it; for each its own.",
)
@lock_options
def apply(
    inventory: str,
    file: Path | None,
    isolation: Isolation | None,
    prune: bool,
    as_json: bool,
    yes: bool,
    names: tuple[str, ...],
    lock_timeout: int,
    break_lock: bool,
) -> None:
    """Show the plan, ask, and make the changes.

    Nothing that this project did not make is deleted, and without `--prune` nothing that it
    made. Exit status: 0 when everything is as the file says, 1 for an error, or for no to the
    question.
    """
    made: list[Change] = []
    told: list[str] = []

    def tell(change: Change) -> None:
        if not as_json:
            print_changes([change])
        print_shown(change, stderr=as_json)
        made.append(change)
        told.append(str(change))

    with reach(inventory, file, isolation, lock=locking(lock_timeout, break_lock)) as reached:
        planned = look(reached, prune=prune)
        if not as_json:
            print_rotations(planned.rotate)  # before, since afterwards nobody can tell any more
        if planned.due and not yes:
            print_changes(planned.due, stderr=True)
            click.confirm("Make these changes?", abort=True, err=True)
        confirm(planned.removals, names, ask=not yes)
        with reached.recorded("workspace", told) if planned.due else nullcontext():
            make(reached, planned, tell)
        notes = _notes(reached, planned, prune=prune)
    if as_json:
        print_json(made, planned.unnamed, planned.foreign, planned.rotate, notes)
    else:
        echo(f"{count(made)} made." if made else "Nothing to change.")
        print_foreign(each.item for each in planned.foreign)
        print_notes(notes)


workspace.add_command(invite)


def _notes(reached: Reached, planned: WorkspacePlan, *, prune: bool) -> list[str]:
    notes = [*planned.notes, *unnamed_notes(planned.unnamed)]
    if prune and reached.remember is None:
        notes.append(_NO_MEMORY)
    return notes
