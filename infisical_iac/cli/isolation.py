"""`infisical-iac isolation`: move the secrets between one project and one for each service."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click

from infisical_iac.cli.options import (
    FOUND,
    Lock,
    inventory_option,
    lock_options,
    project_file_option,
    yes_option,
)
from infisical_iac.cli.output import confirm, show
from infisical_iac.core.errors import RunFailed
from infisical_iac.core.terminal import echo
from infisical_iac.core.wording import join_names, pluralize
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.moving import (
    Ending,
    MovePlan,
    carry_out,
    compute_ending,
    compute_move,
    end,
    refuse_unenforced,
)
from infisical_iac.workspace.reach import reach
from infisical_iac.workspace.secret_copies import CopyState, SecretPlace

_MOST_SHOWN = 10

to_option = click.option(
    "--to",
    type=click.Choice(["projects", "privilege"]),
    required=True,
    help="Destination of the secrets: `projects` for a project of each service in each "
    "environment, `privilege` for one project.",
)


@click.group()
def isolation() -> None:
    """Move the secrets between one project, and one project for each service and environment.

    `apply` copies them, and both sides stay readable. Then set `isolation` in your settings, run
    `infisical-iac apply`, and let each service take its new .infisical.json. `finish` deletes the
    projects that the secrets came from. Until then, `undo` deletes the new ones instead.
    """


@isolation.command(short_help="Show what `isolation apply` would do.")
@to_option
@inventory_option
@project_file_option()
@click.pass_context
def plan(ctx: click.Context, to: Isolation, inventory: str, project_file: Path | None) -> None:
    """Show what `isolation apply` would do, and change nothing.

    Exit status: 0 for nothing to do; 2 for something to do; 1 for an error.
    """
    with reach(inventory, project_file, None) as reached:
        planned = compute_move(reached, to)
    _print_plan(planned)
    ctx.exit(FOUND if planned.is_due else 0)


@isolation.command(short_help="Copy the secrets to the new projects, and compare.")
@to_option
@inventory_option
@project_file_option()
@yes_option
@lock_options
def apply(to: Isolation, inventory: str, project_file: Path | None, yes: bool, lock: Lock) -> None:
    """Make the projects, copy the secrets to them, and compare both sides.

    Values, comments, tags and metadata are copied as they are. Versions before the present one are
    not: they stay where they are until `finish`. Run it again to copy what was written since.

    Exit status: 0 when both sides are equal; 1 for an error, or if you answer no.
    """
    lines, report = _keep_lines()
    with reach(inventory, project_file, None, lock=lock) as reached:
        planned = compute_move(reached, to)
        if planned.is_due and not yes:
            _print_plan(planned)
            confirm("Make these changes?", yes=yes)
        if planned.is_due:
            refuse_unenforced(reached, to)
        with reached.recorded("workspace", lines) if planned.is_due else nullcontext():
            left = carry_out(reached, to, report)
    echo(f"{pluralize(left.same, 'secret')} read back: equal on both sides.")
    _print_newer(left)
    if left.conflicts:
        raise RunFailed(
            f"{_list(left.conflicts)} changed on both sides: write the right value on both sides, "
            "then run again",
            code="run.blocked",
        )
    echo(
        f"Next: set isolation = {to!r} in your settings and run `infisical-iac apply`; run "
        "`infisical-iac check REPO --fix` for each service and deploy it; then run `infisical-iac "
        "isolation finish`."
    )


@isolation.command(short_help="Delete the projects that were moved from.")
@inventory_option
@project_file_option()
@yes_option
@lock_options
def finish(inventory: str, project_file: Path | None, yes: bool, lock: Lock) -> None:
    """Delete the projects that the secrets came from, which ends the move.

    It is refused while a secret there is newer than its copy, and until your settings name the new
    isolation.

    Exit status: 0 when the move is finished; 1 for an error, or if you answer no.
    """
    _end("finish", inventory, project_file, yes=yes, lock=lock)


@isolation.command(short_help="Delete the new projects instead.")
@inventory_option
@project_file_option()
@yes_option
@lock_options
def undo(inventory: str, project_file: Path | None, yes: bool, lock: Lock) -> None:
    """Delete the projects that the secrets went to, and keep those that they came from.

    It first lists the secrets written to the new projects since, which are deleted with them.

    Exit status: 0 when the move is undone; 1 for an error, or if you answer no.
    """
    _end("undo", inventory, project_file, yes=yes, lock=lock)


def _keep_lines() -> tuple[list[str], Callable[[str], None]]:
    """Return a list for the audit log, and a function that prints a line and appends it there."""
    lines: list[str] = []

    def report(line: str) -> None:
        echo(line)
        lines.append(line)

    return lines, report


def _end(name: str, inventory: str, project_file: Path | None, *, yes: bool, lock: Lock) -> None:
    lines, report = _keep_lines()
    with reach(inventory, project_file, None, lock=lock) as reached:
        ending = compute_ending(reached, name)
        _print_ending(ending)
        confirm("Delete these projects?", yes=yes)
        with reached.recorded("workspace", lines):
            end(reached, ending, report)
    echo("The move is finished." if name == "finish" else "The move is undone.")


def _print_plan(planned: MovePlan) -> None:
    show(planned.changes)
    compared = planned.compared
    if compared.write:
        echo(f"+ {pluralize(len(compared.write), 'secret')} to copy")
    if compared.remove:
        count = pluralize(len(compared.remove), "secret")
        echo(f"- {count} to delete, because they were deleted where they came from")
    if planned.duration:
        echo(planned.duration)
    if not planned.is_due:
        echo("Nothing to do: both sides are equal.")
    _print_newer(compared)
    if compared.conflicts:
        echo(f"! changed on both sides: {_list(compared.conflicts)}")
    if planned.expanded:
        echo(
            f"note: {pluralize(planned.expanded, 'value')} refer to a secret of another folder. "
            "Loaders read them as they are; Infisical itself follows a reference only inside one "
            "project."
        )


def _print_newer(compared: CopyState) -> None:
    if compared.newer:
        names = _list(compared.newer)
        echo(f"note: changed in the new projects since, and left as they are there: {names}")


def _print_ending(ending: Ending) -> None:
    for slug in ending.projects.values():
        echo(f"- project {slug}")
    compared = ending.compared
    if compared is None:
        echo("note: an earlier run began this, and it continues.")
        return
    written = [*compared.newer, *compared.conflicts]
    if ending.name == "undo" and written:
        count = pluralize(len(written), "secret")
        echo(
            f"note: {count} written in the new projects since are deleted with them: "
            f"{_list(written)}"
        )
    elif ending.name == "finish":
        echo(f"note: {pluralize(compared.same, 'secret')} equal on both sides.")
        _print_newer(compared)


def _list(places: tuple[SecretPlace, ...] | list[SecretPlace]) -> str:
    names = [str(each) for each in places[:_MOST_SHOWN]]
    more = len(places) - len(names)
    return join_names([*names, f"{more} more"] if more else names)
