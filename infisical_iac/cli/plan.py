"""`infisical-iac plan`: what a run would change."""

import click

from infisical_iac.cli.options import FOUND, inventory_option, json_option
from infisical_iac.cli.output import as_data, count, print_foreign, print_notes, show
from infisical_iac.core.terminal import echo, print_data


@click.command()
@inventory_option
@json_option
@click.pass_context
def plan(ctx: click.Context, inventory: str, as_json: bool) -> None:
    """Show what `apply` would change on the host and inside Infisical, and change nothing.

    `+` is made, `~` is set right, `-` is taken away; `?` is what can't be seen before the rest
    has been done, and `!` what can't be looked at or set right, with what to do. `*` is access to
    the project that nothing in the file gives: it stays. Credentials that end soon, or were not
    delivered to the end, are told as notes. Exit status: 0 for nothing, 2 for changes, 1 for an
    error or where something is blocked.
    """
    # Importing it gives the process to gevent, which other commands have no need of.
    from infisical_iac.core.deployment import looked
    from infisical_iac.workspace.credentials_issue import warnings

    with looked(inventory, writes=None) as deployment:
        (planned, unknown), blocked = deployment.planned(), deployment.journal.blocked
        foreign = deployment.journal.foreign
        notes = [*warnings(), *deployment.journal.notes]
    if as_json:
        data: dict[str, object] = {"changes": as_data(planned), "blocked": as_data(blocked)}
        data |= {"foreign": as_data(foreign), "unknown": unknown}
        print_data({**data, "notes": notes})
    else:
        show([*planned, *blocked], unknown)
        changes = f"{count(planned)} to make" if planned else "Nothing to change"
        echo(f"{changes}; {len(blocked)} blocked." if blocked else f"{changes}.")
        print_foreign(foreign)
    print_notes(notes)
    ctx.exit(1 if blocked else 0 if deployment.settled else FOUND)
