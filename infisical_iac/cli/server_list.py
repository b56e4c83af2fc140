"""`infisical-iac server list`: what this project has at Hetzner Cloud."""

import click
from rich.table import Table

from infisical_iac.cli.items import console, echo, print_data
from infisical_iac.cli.options import json_option


@click.command()
@json_option
def list(as_json: bool) -> None:
    """List the servers, volumes and Load Balancers that were made here, also volumes of no server.

    All deployments are listed, each with its name; then what an earlier version made, which has
    none until `server adopt`. Exit status: 0, also for none; 1 for an error.
    """
    from infisical_iac.hetzner import api, listing
    from infisical_iac.hetzner.ownership import ADOPT, SELECTOR

    client = api.client()
    rows, unadopted = listing.rows(client), listing.unadopted(client)
    if as_json:
        print_data([row._asdict() for row in rows])
    elif not rows:
        echo(f"Nothing at Hetzner Cloud has the label {SELECTOR}.")
    else:
        table = Table(show_edge=False, pad_edge=False, box=None)
        for column in listing.Row._fields:
            table.add_column(column.capitalize(), no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console().print(table)
    if unadopted:
        echo(
            f"Note: of no deployment yet, as an earlier version made them: {', '.join(unadopted)}; "
            f"`{ADOPT}` takes over those of this deployment.",
            err=True,
        )
