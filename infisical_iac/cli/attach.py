"""`infisical-iac attach`: follow a change that the host is at work on, or take it up."""

import click

from infisical_iac.change.releases import parse_unfinished
from infisical_iac.cli.options import (
    Lock,
    inventory_option,
    open_host,
    quiet_lock_options,
    require_project_file,
)
from infisical_iac.core.terminal import echo


@click.command(short_help="Follow a change that goes on on the host.")
@inventory_option
@quiet_lock_options
@click.option("--go-back", is_flag=True, help="Undo the change, unless it has passed its checks.")
def attach(inventory: str, lock: Lock, go_back: bool) -> None:
    """Follow a change that goes on on the host, or take it up where it has stopped.

    Such a change goes on if the connection is lost or this command ends. It waits only for checks
    that need this command.

    Exit status: 0 when the change is done, or none is under way; 1 when it was undone, or for an
    error.
    """
    with open_host(inventory, lock, check=require_project_file) as (_, settings):
        from infisical_iac.backup import restore_deploy
        from infisical_iac.change import ended, keys, rotation, upgrade
        from infisical_iac.change.upgrade import VersionChanges
        from infisical_iac.core import transaction
        from infisical_iac.host.machine import read_machine
        from infisical_iac.host.site import at, site_of
        from infisical_iac.workspace.load import load_declared

        machine = read_machine()
        machine.refuse_unknown()
        project = load_declared(settings.workspace).project.slug
        if rotating := keys.parse_unfinished(machine.rotating):
            if go_back:
                transaction.ask_back("rotation")
            rotation.end_unfinished(rotating, settings, project)
        if upgrading := parse_unfinished(machine.upgrading):
            if go_back:
                transaction.ask_back(at(site_of(settings), VersionChanges).kind)
            upgrade.end_unfinished(upgrading, settings, project)
        if machine.restoring:
            if go_back:
                restore_deploy.undo(settings, asked=True)
            else:
                restore_deploy.attach(settings)
        if machine.rotating or machine.upgrading or machine.restoring:
            return
        sentences, is_undone = ended.tell(settings)
        for sentence in sentences or ["No change is under way on the host."]:
            echo(sentence)
        if is_undone:
            raise SystemExit(1)
