"""`infisical-iac keys`: the keys of the host, and new ones for old."""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    summaries={
        "list": "List the keys, their age and purpose.",
        "rotate": "Replace a key by a new one.",
    },
    prefix="keys_",
)
def keys() -> None:
    """List the keys that were made on the host, and replace one of them by a new one."""
