"""`infisical-iac keys`: the keys of the host, and new ones for old."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from infisical_iac.change.keys import KEYS, Key, named
from infisical_iac.cli.lazily import LazyGroup
from infisical_iac.cli.options import inventory_option, json_option, lock_options, yes_option
from infisical_iac.core.errors import Refused
from infisical_iac.core.terminal import console, echo, print_data

if TYPE_CHECKING:
    from infisical_iac.core.settings import Settings
    from infisical_iac.host.model import MachineState


@click.group(
    cls=LazyGroup,
    summaries={
        "list": "List the keys, their age and purpose.",
        "rotate": "Replace a key by a new one.",
    },
    module="keys",
)
def keys() -> None:
    """List the keys that were made on the host, and replace one of them by a new one."""


@click.command()
@click.argument("key", type=click.Choice([each.name for each in KEYS]))
@inventory_option
@lock_options
@yes_option
def rotate(key: str, inventory: str, lock_timeout: int, break_lock: bool, yes: bool) -> None:
    """Make a new KEY on the host, let everything use it, and end the old one.

    If Infisical does not work with the new one, the old one comes back by itself. A rotation that
    was interrupted is ended first. Only a new auth-secret is asked for, after telling what ends
    with the old one. Exit status: 0 when the new key is in use and the old one is not, 1 for an
    error, with which is in use.
    """
    from infisical_iac.core import lock
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load
    from infisical_iac.host.machine import Machine
    from infisical_iac.workspace.load import load as load_workspace

    wanted = named(key)
    with connected(inventory) as host:
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        lock.take(host, wait=lock_timeout, by_force=break_lock)
        _refuse(host.get_fact(Machine))
        if wanted.name == "encryption-key":
            from infisical_iac.change import rotation

            raise rotation.refuse_encryption_key(settings.stack)
        path = Path(settings.workspace.workspace_file)
        project = load_workspace(path, admin_email=settings.workspace.admin_email).project.slug
        if not _completed(wanted, settings, project):
            _confirm(wanted, yes=yes)
            _go(wanted, settings, project)
        _tell_kit(wanted)


def _refuse(machine: "MachineState") -> None:
    if machine.restoring:
        raise Refused(
            "a restore has not ended on the host: `infisical-iac restore --undo` brings the old "
            "data back"
        )
    if machine.upgrading:
        raise Refused(
            "a change of version has not ended on the host: `infisical-iac apply` ends it"
        )
    if not machine.deployed:
        raise Refused("there is no Infisical on the host: `infisical-iac apply` deploys it")


def _completed(wanted: Key, settings: "Settings", project: str) -> bool:
    """End a rotation that was interrupted; whether that has given the wanted key its successor."""
    from pyinfra.context import host

    from infisical_iac.change import rotation
    from infisical_iac.change.keys import unfinished
    from infisical_iac.core import audit
    from infisical_iac.host.machine import Machine
    from infisical_iac.host.site import site_of

    found = unfinished(host.get_fact(Machine).rotating)
    if found is None:
        return False
    with audit.recorded("keys", [f"~ key {found.key.name}: rotation ended"]):
        how = rotation.recover(found, settings, project, site_of(settings))
    echo(f"A rotation had not ended. {how}", err=True)
    return found.ends_new and found.key == wanted


def _confirm(wanted: Key, *, yes: bool) -> None:
    if wanted.ends and not yes:
        echo(wanted.ends, err=True)
        click.confirm("Make a new one?", abort=True, err=True)


def _go(wanted: Key, settings: "Settings", project: str) -> None:
    from infisical_iac.change import rotation
    from infisical_iac.core import audit
    from infisical_iac.host.site import site_of

    with audit.recorded("keys", [f"~ key {wanted.name}: replaced by a new one"]):
        told = rotation.made(wanted, settings, project, site_of(settings))
    for sentence in (*told, f"The new {wanted.name} key is in use, and the old one is no more."):
        echo(sentence)


def _tell_kit(wanted: Key) -> None:
    from infisical_iac.backup import kit_host

    row = kit_host.row()
    if row and not row.ok:
        echo(f"{row.name}: {row.text}.")
        if wanted.name == "restic":
            echo("Until then nothing that is kept off the host opens the backups.")


@click.command("list")
@inventory_option
@json_option
def list_command(inventory: str, as_json: bool) -> None:
    """List the keys of the host: when each was made, and what it is for. No value is read.

    Exit status: 0, or 1 for an error.
    """
    from infisical_iac.change.keys import unfinished
    from infisical_iac.core.inventory import connected
    from infisical_iac.host.machine import Machine

    with connected(inventory) as host:
        from infisical_iac.change import rotation

        found = rotation.list_keys()
        begun = unfinished(host.get_fact(Machine).rotating)
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
