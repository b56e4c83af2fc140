"""`infisical-iac plan`: what a run would change."""

import click

from infisical_iac.cli.items import as_data, console, count, echo, print_data, show
from infisical_iac.cli.options import FOUND, inventory_option, json_option
from infisical_iac.cli.showing import print_notes


@click.command(short_help="Show what a run would change.")
@inventory_option
@json_option
@click.pass_context
def plan(ctx: click.Context, inventory: str, as_json: bool) -> None:
    """Show what `apply` would change on the host and inside Infisical, and change nothing.

    `+` is made, `~` is set right, `-` is taken away; `?` is what can't be seen before the rest
    has been done. Credentials that end soon, or were not delivered to the end, are told as
    notes. Exit status: 0 for nothing, 2 for changes, 1 for an error.
    """
    # Importing it gives the process to gevent, which other commands have no need of.
    from infisical_iac.cli.deployment import looked
    from infisical_iac.operations.credentials import warnings

    with looked(inventory, writes=None) as deployment:
        planned, unknown = deployment.planned()
        notes = warnings()
    if as_json:
        print_data({"changes": as_data(planned), "unknown": unknown, "notes": notes})
    else:
        show(planned, unknown, console())
        echo(f"{count(planned)} to make." if planned else "Nothing to change.")
    print_notes(notes)
    ctx.exit(0 if deployment.settled else FOUND)
