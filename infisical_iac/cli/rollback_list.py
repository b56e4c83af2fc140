"""The releases that `infisical-iac rollback` can go back to."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table

from infisical_iac.backup.record import size
from infisical_iac.change.releases import Release
from infisical_iac.cli.output import console, echo, print_data
from infisical_iac.upgrade.given_up import HELP, GivenUp


def show(releases: Iterable[Release], kept: Iterable[GivenUp], *, as_json: bool) -> None:
    """Print the releases that are whole, as a table or as JSON.

    Args:
        kept: the data that changes were given up with, told below the table.
    """
    found = list(_data(releases))
    if as_json:
        print_data(found)
    elif found:
        console().print(_table(found))
    else:
        echo("No release is kept on the host: the first upgrade makes one.")
    for each in kept:
        echo(f"Given up: {each.told()}; {HELP}.", err=True)


def _data(releases: Iterable[Release]) -> Iterator[dict[str, Any]]:
    for each in releases:
        if each.manifest:
            yield {
                "release": each.name,
                "at": each.manifest.at,
                "infisical": each.manifest.infisical,
                "postgresql": each.manifest.postgres,
                "migrations": each.migrations,
                "bytes": each.bytes,
                "images": each.images,
            }


def _table(found: Iterable[dict[str, Any]]) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None)
    for column in ("Release", "At", "Infisical", "PostgreSQL"):
        table.add_column(column, no_wrap=True)
    for column in ("Migrations", "Size"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in found:
        names = ("release", "at", "infisical", "postgresql", "migrations")
        table.add_row(*(str(row[name]) for name in names), size(row["bytes"]))
    return table
