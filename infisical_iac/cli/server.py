"""`infisical-iac server`: the server at Hetzner Cloud, and what belongs to it.

The commands stand in a module of their own: they load the library of Hetzner's API and paramiko,
which takes longer than the list of commands.
"""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    summaries={
        "plan": "Show what would be made, and what it costs.",
        "create": "Make the server and all that belongs to it.",
        "list": "List what there is at Hetzner Cloud.",
        "adopt": "Take over what an earlier version made.",
        "replace": "Move to a new server: volume, addresses and all.",
        "destroy": "Delete the server; the volume stays.",
    },
    module="server_commands",
)
def server() -> None:
    """Make the server at Hetzner Cloud with all that belongs to it, replace it, destroy it.

    The token is read from HCLOUD_TOKEN, the settings are those whose names begin with `server_`.
    Only what carries the labels managed-by=infisical-iac and infisical-iac-deployment with the
    setting `server_name` is ever changed.
    """
