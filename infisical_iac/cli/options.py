"""Options that several commands have."""

import click

inventory_option = click.option(
    *("-i", "--inventory"),
    default="inventory/hetzner.py",
    envvar="INFISICAL_IAC_INVENTORY",
    show_default=True,
    show_envvar=True,
    help="The inventory that names the host.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
