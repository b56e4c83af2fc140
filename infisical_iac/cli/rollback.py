"""`infisical-iac rollback`: back to a release that was kept."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from infisical_iac.backup.record import size
from infisical_iac.change.releases import Release
from infisical_iac.cli.options import inventory_option, json_option, lock_options
from infisical_iac.core.errors import Refused
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.stack.given_up import HELP, GivenUp

if TYPE_CHECKING:
    from infisical_iac.change.releases import UnfinishedChange
    from infisical_iac.core.settings import Settings
    from infisical_iac.host.model import MachineState


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


@click.command()
@click.argument("release", required=False)
@inventory_option
@json_option
@lock_options
@click.option("--list", "only_list", is_flag=True, help="List the releases, and change nothing.")
@click.option("--keep-data", is_flag=True, help="Take its version, but keep the data of today.")
@click.option("--confirm", metavar="RELEASE", help="The release's name, so that it isn't asked.")
def rollback(
    release: str | None,
    inventory: str,
    as_json: bool,
    lock_timeout: int,
    break_lock: bool,
    only_list: bool,
    keep_data: bool,
    confirm: str | None,
) -> None:
    """Go back to RELEASE, or to the newest: its version of Infisical with its data of that time.

    What runs now is kept as a release first, and serves again if the other does not prove itself.
    Everything written since RELEASE was made is not in its data: its name must be typed. Exit
    status: 0 when the release serves, 1 for an error, with what serves now.
    """
    if as_json and not only_list:
        raise click.UsageError("--json goes with --list")
    from infisical_iac.change import changeover, upgrade
    from infisical_iac.change.releases import choose
    from infisical_iac.change.upgrade import VersionChanges
    from infisical_iac.core import lock
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.settings import load
    from infisical_iac.host.machine import Machine
    from infisical_iac.host.site import at, site_of

    with connected(inventory) as host:
        settings = load(host.data.dict())  # type: ignore[no-untyped-call]
        if only_list:
            show(changeover.read_releases(), changeover.read_given_up(), as_json=as_json)
            return
        lock.take(host, wait=lock_timeout, by_force=break_lock)
        project = _project(settings)
        machine = host.get_fact(Machine)
        _end_rotation(machine, settings, project)
        _recover(_unfinished(machine), settings, project)
        chosen = choose(changeover.read_releases(), release)
        was = upgrade.refuse_release(chosen, settings, keep_data=keep_data)
        _confirm(chosen, confirm, keep_data=keep_data)
        data = None if keep_data else chosen
        told = at(site_of(settings), VersionChanges).go_to(chosen, was, data, project)
    for sentence in told:
        echo(sentence)


def _project(settings: "Settings") -> str:
    from infisical_iac.workspace.load import load

    return load(
        Path(settings.workspace.workspace_file), admin_email=settings.workspace.admin_email
    ).project.slug


def _unfinished(machine: "MachineState") -> "UnfinishedChange | None":
    from infisical_iac.change.releases import unfinished

    if machine.restoring:
        raise Refused(
            "a restore has not ended on the host: `infisical-iac restore --undo` brings the old "
            "data back"
        )
    return unfinished(machine.upgrading)


def _end_rotation(machine: "MachineState", settings: "Settings", project: str) -> None:
    """End a rotation that was interrupted, unless it is of the backups' password alone."""
    from infisical_iac.change import rotation
    from infisical_iac.change.keys import unfinished
    from infisical_iac.core import audit
    from infisical_iac.host.site import site_of

    found = unfinished(machine.rotating)
    if found and found.key.name != "restic":
        with audit.recorded("keys", [f"~ key {found.key.name}: rotation ended"]):
            how = rotation.recover(found, settings, project, site_of(settings))
        echo(f"A rotation had not ended. {how}", err=True)


def _recover(unfinished: "UnfinishedChange | None", settings: "Settings", project: str) -> None:
    """End a change of version that was interrupted, before another is begun."""
    from infisical_iac.change.upgrade import VersionChanges
    from infisical_iac.core import audit
    from infisical_iac.host.site import at, site_of

    if unfinished:
        changes = at(site_of(settings), VersionChanges)
        with audit.recorded("rollback", [f"~ {unfinished.release}: ended"]):
            how = changes.recover(unfinished, project)
        echo(f"A change of version had not ended. {how}", err=True)


def _confirm(release: "Release", given: str | None, *, keep_data: bool) -> None:
    assert release.manifest
    lost = "" if keep_data else f", without anything written since {release.manifest.at}"
    question = (
        f"This goes back to Infisical {release.manifest.infisical}{lost}. Type the release's name, "
        f"{release.name}"
    )
    typed = given or click.prompt(question, err=True, default="", show_default=False)
    if typed != release.name:
        raise Refused(f"{typed!r} is not the release's name, {release.name}: nothing was done")
