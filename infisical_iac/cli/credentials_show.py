"""`infisical-iac credentials list` and `show`: what is there, and one of them to start with."""

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import click
from rich.table import Table

from infisical_iac.cli.credentials_options import (
    environment_option,
    may_show,
    place_options,
    service_argument,
)
from infisical_iac.cli.credentials_reach import keep
from infisical_iac.cli.items import console, print_data
from infisical_iac.cli.options import json_option, yes_option
from infisical_iac.cli.showing import print_notes
from infisical_iac.workspace.credential_file import render
from infisical_iac.workspace.credentials import notes
from infisical_iac.workspace.overview import Overview, ago, overview


@click.command("list", short_help="List age, use, expiry and file of each.")
@place_options
@json_option
def list_command(inventory: str, file: Path | None, where: Path | None, as_json: bool) -> None:
    """List the credentials of all services: age, last use, uses, expiry, and their files.

    What should be done about some is told as notes. No secret is shown, and nothing is changed.
    """
    with keep(inventory, file, where, needs_files=False) as kept:
        rows = [
            overview(
                step,
                has_file=None if kept.files is None else step.account.credentials in kept.files,
                now=kept.now,
            )
            for step in kept.steps
        ]
        told = notes(kept.steps, kept.now)
    if as_json:
        print_data({"credentials": [row.data for row in rows], "notes": told})
        return
    console().print(_table(rows, kept.now))
    print_notes(told)


def _table(rows: Iterable[Overview], now: datetime) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None)
    for column in ("Credentials", "Made", "Last used", "Uses", "Ends", "File", "Others"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        secret = row.secret
        table.add_row(
            row.name,
            ago(now - secret.created) if secret else "never",
            ago(now - secret.used) if secret and secret.used else "never",
            str(secret.uses) if secret else "0",
            f"{secret.ends:%Y-%m-%d}" if secret and secret.ends else "never",
            row.file,
            _others(row),
        )
    return table


def _others(row: Overview) -> str:
    if row.others and row.kept_until:
        return f"{row.others}, until {row.kept_until:%Y-%m-%d %H:%M} UTC"
    return str(row.others or "none")


@click.command(short_help="Print what a service starts with.")
@service_argument
@environment_option
@place_options
@yes_option
def show(
    service: str,
    environment: str,
    inventory: str,
    file: Path | None,
    where: Path | None,
    yes: bool,
) -> None:
    """Print the three variables that SERVICE starts with in an environment.

    Send them into its .env.local, which git must ignore. Those of the environment `production`
    take --yes.
    """
    with keep(inventory, file, where) as kept:
        step = kept.one(service, environment)
        may_show(step.account.credentials, environment, yes=yes)
        sys.stdout.write(render(kept.held(step).settled))
