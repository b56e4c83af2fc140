"""`infisical-iac server`: manage the server at Hetzner Cloud.

The commands are in another module, as they import the library of Hetzner's API and paramiko, which
the list of commands does not need.
"""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    summaries={
        "plan": "Show the resources to create, with prices.",
        "create": "Create the server and everything that belongs to it.",
        "list": "List the resources at Hetzner Cloud.",
        "adopt": "Take over resources of an earlier version.",
        "replace": "Replace the server, and keep its volume and addresses.",
        "destroy": "Delete the server; the volume stays.",
    },
    module="server_commands",
)
def server() -> None:
    """Create, replace and destroy the server at Hetzner Cloud, with everything that belongs to it.

    The API token is read from HCLOUD_TOKEN; the settings are those with names that begin with
    `server_`. Only resources that carry the labels managed-by=infisical-iac and
    infisical-iac-deployment with the setting `server_name` are ever changed.
    """
