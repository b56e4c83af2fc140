"""`infisical-iac server list`: what this project has at Hetzner Cloud."""

import click
from rich.table import Table

from infisical_iac.cli.items import console, echo, print_data
from infisical_iac.cli.options import json_option


@click.command(short_help="List what there is at Hetzner Cloud.")
@json_option
def list(as_json: bool) -> None:
    """List the servers, volumes and Load Balancers that were made here, also volumes of no server.

    Exit status: 0, also for none; 1 for an error.
    """
    from infisical_iac.hetzner import api, listing

    rows = listing.rows(api.client())
    if as_json:
        print_data([row._asdict() for row in rows])
        return
    if not rows:
        echo(f"Nothing at Hetzner Cloud has the label {api.SELECTOR}.")
        return
    table = Table(show_edge=False, pad_edge=False, box=None)
    for column in listing.Row._fields:
        table.add_column(column.capitalize(), no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console().print(table)
