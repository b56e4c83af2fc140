"""`infisical-iac server`: the server at Hetzner Cloud, and what belongs to it."""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    modules={
        name: f"server_{name}" for name in ("plan", "create", "list", "adopt", "replace", "destroy")
    },
    short_help="Make, replace and destroy the server at Hetzner Cloud.",
)
def server() -> None:
    """Make the server at Hetzner Cloud with all that belongs to it, replace it, destroy it.

    The token is read from HCLOUD_TOKEN, the settings are those whose names begin with `server_`.
    Only what carries the labels managed-by=infisical-iac and infisical-iac-deployment with the
    setting `server_name` is ever changed.
    """
