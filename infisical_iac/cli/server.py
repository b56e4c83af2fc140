"""`infisical-iac server`: the server at Hetzner Cloud, and what belongs to it.

The commands stand in a module of their own: they load the library of Hetzner's API and paramiko,
which takes longer than the list of commands.
"""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    summaries={
        "plan": "Show what would be created, and what it costs.",
        "create": "Create the server and everything that belongs to it.",
        "list": "List what there is at Hetzner Cloud.",
        "adopt": "Take over what an earlier version made.",
        "replace": "Move to a new server, with volume and addresses.",
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
