"""`infisical-iac rollback`: go back to a release that an upgrade kept."""

from collections.abc import Iterable
from typing import Any

import click

from infisical_iac.backup.record import size
from infisical_iac.change.releases import Release, choose, parse_unfinished
from infisical_iac.cli.options import (
    Lock,
    inventory_option,
    json_option,
    lock_options,
    open_host,
    require_project_file,
)
from infisical_iac.cli.output import confirm_name, print_table
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.stack.model import GIVEN_UP_HELP, GivenUp


def show(releases: Iterable[Release], kept: Iterable[GivenUp], *, as_json: bool) -> None:
    """Print the complete releases, as a table or as JSON.

    Args:
        kept: the data of changes that were given up, which are listed below the table.
    """
    found: list[dict[str, Any]] = [
        {
            "release": each.name,
            "at": each.manifest.at,
            "infisical": each.manifest.infisical,
            "postgresql": each.manifest.postgres,
            "migrations": each.migrations,
            "bytes": each.bytes,
            "images": each.images,
        }
        for each in releases
        if each.manifest
    ]
    if as_json:
        print_data(found)
    elif found:
        names = ("release", "at", "infisical", "postgresql", "migrations")
        print_table(
            ("Release", "At", "Infisical", "PostgreSQL", "Migrations", "Size"),
            ([*(row[name] for name in names), size(row["bytes"])] for row in found),
            numbers=("Migrations", "Size"),
        )
    else:
        echo("There is no release on the host yet: the first upgrade keeps one.")
    for each in kept:
        echo(f"Kept: {each.describe()}; {GIVEN_UP_HELP}.", err=True)


@click.command()
@click.argument("release", required=False)
@inventory_option
@json_option
@lock_options
@click.option(
    "--list", "only_list", is_flag=True, help="List the kept releases, and change nothing."
)
@click.option(
    "--keep-data", is_flag=True, help="Go back to the version only, with the data of today."
)
@click.option("--confirm", metavar="RELEASE", help="Give the release's name instead of typing it.")
def rollback(
    release: str | None,
    inventory: str,
    as_json: bool,
    lock: Lock,
    only_list: bool,
    keep_data: bool,
    confirm: str | None,
) -> None:
    """Go back to RELEASE, or to the newest one: to its version of Infisical and its data.

    The running version is first kept as a release, and is put back if the checks fail. The data of
    RELEASE lack everything written since, so you must type its name.

    Exit status: 0 when the release serves; 1 for an error, with the version that serves now.
    """
    if as_json and not only_list:
        raise click.UsageError("--json goes with --list")
    if only_list:
        _list_releases(inventory, as_json=as_json)
        return
    with open_host(inventory, lock, check=require_project_file) as (host, settings):
        from infisical_iac.change import changeover, keys, rotation, upgrade
        from infisical_iac.change.upgrade import VersionChanges
        from infisical_iac.core import audit
        from infisical_iac.host.machine import Machine
        from infisical_iac.host.site import at, site_of
        from infisical_iac.workspace.load import load_declared

        project = load_declared(settings.workspace).project.slug
        machine = host.get_fact(Machine)
        rotating = keys.parse_unfinished(machine.rotating)
        if rotating and rotating.key.name != "restic":  # The backups' password can change later.
            rotation.end_unfinished(rotating, settings, project)
        machine.refuse_restoring()
        if begun := parse_unfinished(machine.upgrading):
            with audit.record("rollback", [f"~ {begun.release}: ended"]):
                how = at(site_of(settings), VersionChanges).recover(begun, project)
            echo(f"An interrupted change of version was ended first. {how}", err=True)
        chosen = choose(changeover.read_releases(), release)
        was = upgrade.refuse_release(chosen, settings, keep_data=keep_data)
        assert chosen.manifest
        lost = "" if keep_data else f", without anything written since {chosen.manifest.at}"
        what = f"This goes back to Infisical {chosen.manifest.infisical}{lost}."
        confirm_name(what, "the release's", chosen.name, confirm)
        data = None if keep_data else chosen
        sentences = at(site_of(settings), VersionChanges).go_to(chosen, was, data, project)
    for sentence in sentences:
        echo(sentence)


def _list_releases(inventory: str, *, as_json: bool) -> None:
    with open_host(inventory):
        from infisical_iac.change import changeover

        show(changeover.read_releases(), changeover.read_given_up(), as_json=as_json)
