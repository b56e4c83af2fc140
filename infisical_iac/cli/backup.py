"""`infisical-iac backup`: a backup at once, and what there is."""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    summaries={
        "now": "Make a backup at once.",
        "list": "List the snapshots in every target.",
    },
    prefix="backup_",
)
def backup() -> None:
    """Back the database up at once, beside the host's own timer, and list what there is."""
