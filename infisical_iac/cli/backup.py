"""`infisical-iac backup`: a backup at once, and what there is."""

import click

from infisical_iac.cli.lazily import LazyGroup


@click.group(
    cls=LazyGroup,
    modules={name: f"backup_{name}" for name in ("now", "list")},
    short_help="Back up at once, and list what there is.",
)
def backup() -> None:
    """Back the database up at once, beside the host's own timer, and list what there is."""
