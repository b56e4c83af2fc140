"""`infisical-iac keys`: the keys of the host, and new ones for old."""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    modules={name: f"keys_{name}" for name in ("list", "rotate")},
    short_help="List the host's keys, and replace one.",
)
def keys() -> None:
    """List the keys that were made on the host, and replace one of them by a new one."""
