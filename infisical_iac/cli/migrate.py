"""`infisical-iac migrate`: from .env files into Infisical, and proof of it."""

import click

from infisical_iac.cli.lazily import LazyGroup

_COMMANDS = {
    "scan": "Find .env files: where they belong, and what is in them.",
    "plan": "Write down what would go where, to be reviewed.",
    "apply": "Write the plan into Infisical, and read it back.",
    "verify": "Verify that every key of the plan is there, unchanged.",
    "clean": "Delete the .env files that were verified.",
    "history": "Search git's objects for the values.",
}


@click.group(
    cls=LazyGroup,
    summaries=_COMMANDS,
    prefix="migrate_",
)
def migrate() -> None:
    """Move the .env files of a repository into Infisical, byte for byte, and prove it.

    In this order: `scan` shows what is there, `plan` writes migration.yaml to review, `apply`
    writes the secrets and reads them back, `verify` checks them at any later time, `clean` takes
    the files away, and `history` tells what was ever committed and has to be rotated. No value is
    ever shown.
    """
