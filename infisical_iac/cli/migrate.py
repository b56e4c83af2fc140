"""`infisical-iac migrate`: from .env files into Infisical, and proof of it."""

import click

from infisical_iac.cli.lazily import LazyGroup

_COMMANDS = ("scan", "plan", "apply", "verify", "clean", "history")


@click.group(
    cls=LazyGroup,
    modules={name: f"migrate_{name}" for name in _COMMANDS},
    short_help="Move .env files into Infisical, and prove it.",
)
def migrate() -> None:
    """Move the .env files of a repository into Infisical, byte for byte, and prove it.

    In this order: `scan` shows what is there, `plan` writes migration.yaml to review, `apply`
    writes the secrets and reads them back, `verify` checks them at any later time, `clean` takes
    the files away, and `history` tells what was ever committed and has to be rotated. No value is
    ever shown.
    """
