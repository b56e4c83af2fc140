"""`infisical-iac credentials list` and `show`: what is there, and one of them to start with."""

import os
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
from infisical_iac.cli.options import json_option, yes_option
from infisical_iac.cli.output import console, print_data
from infisical_iac.cli.showing import print_notes
from infisical_iac.core import atomic
from infisical_iac.workspace.credential_file import FIRST_WORDS, render
from infisical_iac.workspace.credentials import notes
from infisical_iac.workspace.credentials_reach import CredentialsError, keep
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
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, for its owner alone, such as .env.local.",
)
@place_options
@yes_option
def show(
    service: str,
    environment: str,
    output: Path | None,
    inventory: str,
    file: Path | None,
    where: Path | None,
    yes: bool,
) -> None:
    """Print the three variables that SERVICE starts with in an environment.

    Write them into its .env.local with --output; git must ignore the file. Those of the environment
    `production` take --yes. The host's audit log tells who was shown what.
    """
    if output:
        _refuse_foreign(output)
    with keep(inventory, file, where) as kept:
        step = kept.one(service, environment)
        may_show(step.account.credentials, environment, yes=yes, into=output)
        text = render(kept.held(step).settled)
        with kept.disclosed([step]):
            if output:
                _write(output, text)
            else:
                sys.stdout.write(text)


def _refuse_foreign(file: Path) -> None:
    """Raise CredentialsError if a file holds anything but credentials that were shown before."""
    try:
        there = file.read_text("utf-8", errors="replace") if os.path.lexists(file) else ""
    except OSError as error:
        raise CredentialsError(f"{file} can't be read: {error.strerror}") from None
    if there and not there.startswith(FIRST_WORDS):
        raise CredentialsError(f"{file} holds something else: name another file, or remove it")


def _write(file: Path, text: str) -> None:
    try:
        atomic.write(file, text, mode=0o600)
    except OSError as error:
        raise CredentialsError(f"{file} can't be written: {error.strerror}") from None
