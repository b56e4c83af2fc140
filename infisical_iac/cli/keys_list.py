"""`infisical-iac keys list`: the keys of the host, how old they are, and what they are for."""

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.table import Table

from infisical_iac.change.keys import KEYS, Key
from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.cli.output import console, echo, print_data


@click.command("list")
@inventory_option
@json_option
def list(inventory: str, as_json: bool) -> None:
    """List the keys of the host: when each was made, and what it is for. No value is read.

    Exit status: 0, or 1 for an error.
    """
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.remote import run
    from infisical_iac.core.rendering import script
    from infisical_iac.host.machine import Machine
    from infisical_iac.rotation.state import unfinished

    with connected(inventory) as host:
        lines = run(script("rotation", "list"), doing="list the keys").splitlines()
        begun = unfinished(host.get_fact(Machine).rotating)
    seconds = {file: int(made) for _, file, made in map(str.split, lines)}
    found = [
        (key, datetime.fromtimestamp(seconds[key.file], UTC)) for key in KEYS if key.file in seconds
    ]
    if as_json:
        print_data([_data(key, made) for key, made in found])
    else:
        _show(found)
    if begun:
        echo(
            f"A rotation of the {begun.key.name} key has not ended: {begun.told} by "
            "`infisical-iac apply`.",
            err=True,
        )


def _days(made: datetime) -> int:
    return (datetime.now(UTC) - made).days


def _data(key: Key, made: datetime) -> dict[str, object]:
    at = made.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"name": key.name, "made": at, "days": _days(made), "purpose": key.purpose}


def _show(found: Sequence[tuple[Key, datetime]]) -> None:
    table = Table(show_edge=False, pad_edge=False, box=None)
    for column in ("Key", "Made", "Days", "What it does"):
        table.add_column(column, no_wrap=True, justify="right" if column == "Days" else "left")
    for key, made in found:
        table.add_row(key.name, f"{made:%Y-%m-%d}", str(_days(made)), key.purpose)
    console().print(table)
