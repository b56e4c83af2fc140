"""`infisical-iac server plan`: what `server create` would make, and what it costs."""

import click

from infisical_iac.cli.items import as_data, count, echo, print_data
from infisical_iac.cli.options import FOUND, json_option


@click.command()
@json_option
@click.pass_context
def plan(ctx: click.Context, as_json: bool) -> None:
    """Show what `server create` would make at Hetzner Cloud, with prices, and make nothing.

    Prices are net and of this moment, as the API tells them. Exit status: 0 for nothing, 2 for
    changes, 1 for an error.
    """
    # The library takes a while to load, which other commands have no need of.
    from infisical_iac.cli.server_showing import notes, show_plan
    from infisical_iac.hetzner import plan as session
    from infisical_iac.hetzner.costs import monthly

    found = session.begun(reads=True)
    changes = found.changes(timeout=0)
    if as_json:
        costs = monthly(found.want, found.prices)
        print_data(
            {
                "changes": as_data(each.item for each in changes),
                "notes": notes(found),
                "monthly": f"{costs.monthly:.2f}",
                "hourly": f"{costs.hourly:.4f}",
                "currency": costs.currency,
            }
        )
    else:
        show_plan(found, changes)
        echo(f"{count(changes)} to make." if changes else "Nothing to change.")
    ctx.exit(FOUND if changes else 0)
