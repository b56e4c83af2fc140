"""`infisical-iac keys`: list the keys of the host, and rotate them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from infisical_iac.change.keys import find_key, parse_unfinished
from infisical_iac.cli.options import (
    Lock,
    inventory_option,
    json_option,
    lock_options,
    open_host,
    require_project_file,
    yes_option,
)
from infisical_iac.cli.output import confirm, print_table
from infisical_iac.core.errors import Refused
from infisical_iac.core.terminal import echo, print_data

if TYPE_CHECKING:
    from infisical_iac.core.settings import Settings
    from infisical_iac.host.model import MachineState


@click.group()
def keys() -> None:
    """List the keys that were made on the host, and rotate one of them."""


@keys.command(short_help="Replace a key with a new one.")
@click.argument("key")
@inventory_option
@lock_options
@yes_option
def rotate(key: str, inventory: str, lock: Lock, yes: bool) -> None:
    """Make a new KEY on the host, put it into use everywhere, and retire the old one.

    KEY is `database`, `redis`, `restic`, `auth-secret` or `encryption-key`; or a secret that you
    gave: `smtp`, `proxy`, `google`, `github`, `gitlab`, `license`, or the name of a variable in
    `infisical_secrets`. The new value of such a secret is read as for the first `apply`. That of
    a mail server, proxy or login provider is proven first.

    If Infisical does not work with the new key, the old one is put back. An interrupted rotation is
    completed first. Only `auth-secret` asks for confirmation, after it printed the consequences.

    Exit status: 0 when the new key is in use and the old one is retired; 1 for an error, with the
    key that is in use.
    """

    def check(settings: "Settings") -> None:
        find_key(key, settings.secrets)
        require_project_file(settings)

    with open_host(inventory, lock, check=check) as (_, settings):
        chosen = find_key(key, settings.secrets)
        from infisical_iac.backup import kit_host
        from infisical_iac.change import rotation
        from infisical_iac.core import audit
        from infisical_iac.host.machine import read_machine
        from infisical_iac.host.site import site_of
        from infisical_iac.workspace.load import load_declared

        machine = read_machine()
        _refuse(machine)
        if chosen.is_given:
            rotation.refuse_missing(chosen, settings.secrets)
        if chosen.name == "encryption-key":
            raise rotation.refuse_encryption_key(settings.stack)
        project = load_declared(settings.workspace).project.slug
        found = parse_unfinished(machine.rotating)
        if found:
            rotation.end_unfinished(found, settings, project)
        if not (found and found.ends_new and found.key == chosen):
            if chosen.ends and not yes:
                echo(chosen.ends, err=True)
                confirm("Make a new one?", yes=yes)
            with audit.record("keys", [f"~ key {chosen.name}: replaced by a new one"]):
                sentences = rotation.rotate(chosen, settings, project, site_of(settings))
            for sentence in sentences:
                echo(sentence)
            echo(f"The new {chosen.name} key is in use, and the old one is retired.")
        row = kit_host.row()
        if row and not row.ok:
            echo(f"{row.name}: {row.text}.")
            if chosen.name == "restic":
                echo("Until there is a new kit, only the host's own key opens the backups.")


def _refuse(machine: "MachineState") -> None:
    machine.refuse_restoring()
    if machine.upgrading:
        raise Refused(
            "a change of version has not ended on the host: `infisical-iac apply` ends it"
        )
    if not machine.deployed:
        raise Refused("there is no Infisical on the host: `infisical-iac apply` deploys it")


@keys.command("list", short_help="List the keys with age and purpose.")
@inventory_option
@json_option
def list_command(inventory: str, as_json: bool) -> None:
    """List the keys of the host, with age and purpose. No value is read.

    Exit status: 0, or 1 for an error.
    """
    with open_host(inventory) as (_, settings):
        from infisical_iac.change import rotation
        from infisical_iac.host.machine import read_machine

        found = rotation.list_keys(settings.secrets)
        begun = parse_unfinished(read_machine().rotating)
    now = datetime.now(UTC)
    rows = [
        {
            "name": key.name,
            "made": f"{made:%Y-%m-%dT%H:%M:%SZ}",
            "days": (now - made).days,
            "purpose": key.purpose,
        }
        for key, made in found
    ]
    if as_json:
        print_data(rows)
    else:
        print_table(
            ("Key", "Made", "Days", "Purpose"),
            ([row["name"], str(row["made"])[:10], row["days"], row["purpose"]] for row in rows),
            numbers=("Days",),
        )
    if begun:
        echo(
            f"A rotation of the {begun.key.name} key has not ended: `infisical-iac apply` ends it "
            f"({begun.outcome}).",
            err=True,
        )
