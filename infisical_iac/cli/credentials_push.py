"""`infisical-iac credentials push`: what is in the files, to where the services run."""

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import click

from infisical_iac.cli.credentials_deliver import delivery
from infisical_iac.cli.credentials_options import (
    deploy_option,
    may_show,
    overlap_option,
    place_options,
)
from infisical_iac.cli.options import Lock, lock_options, yes_option
from infisical_iac.cli.output import echo, print_data
from infisical_iac.workspace.credential_file import variables
from infisical_iac.workspace.credentials import Step
from infisical_iac.workspace.credentials_reach import CredentialsError, Kept, keep
from infisical_iac.workspace.rotation import Rotation


@click.command(short_help="Deliver credentials to where services run.")
@click.argument("service", required=False)
@click.option(
    *("--env", "--environment", "environment"),
    metavar="ENVIRONMENT",
    help="One environment's alone [default: all]",
)
@click.option(
    "--to",
    type=click.Choice(["targets", "json"]),
    default="targets",
    show_default=True,
    help="`json` prints them, for a platform of another kind, and delivers nothing.",
)
@deploy_option
@overlap_option
@place_options
@yes_option
@lock_options
def push(
    service: str | None,
    environment: str | None,
    to: str,
    deploy: bool,
    overlap: timedelta,
    inventory: str,
    file: Path | None,
    where: Path | None,
    yes: bool,
    lock_timeout: int,
    break_lock: bool,
) -> None:
    """Deliver credentials to where `deliver` in the workspace file says; of SERVICE, or of all.

    Where they are already, nothing is written and nothing deployed. Dokploy's key is read from
    DOKPLOY_API_KEY.
    """
    if to == "json":
        with keep(inventory, file, where) as kept:
            _print(kept, kept.some(service, environment), yes=yes)
        return
    with keep(inventory, file, where, lock=Lock(lock_timeout, break_lock)) as kept:
        _deliver(kept, kept.some(service, environment), deploy, overlap)


def _print(kept: Kept, steps: list[Step], *, yes: bool) -> None:
    for step in steps:
        may_show(step.account.credentials, step.account.environment, yes=yes)
    data = {each.account.credentials: variables(kept.held(each)) for each in steps}
    with kept.disclosed(steps):
        print_data(data)


def _deliver(kept: Kept, steps: list[Step], deploy: bool, overlap: timedelta) -> None:
    ways = [
        (step, kept.held(step), delivery(step.account, deploys=deploy, tell=kept.tell))
        for step in steps
        if step.account.target
    ]
    if not ways:
        raise CredentialsError(
            "none of these has a target: say in the workspace file, under `deliver` of the "
            "service, where they go"
        )
    due = [(step, held, way) for step, held, way in ways if way.is_due(held) or held.is_undelivered]
    with kept.recorded() if due else nullcontext():
        for step, held, way in due:
            rotation = Rotation(kept.reached.client, kept.store, way.deliver, overlap, kept.tell)
            way.deliver(held)
            if held.is_undelivered:
                rotation.end(step, held)
    if not kept.told:
        echo("Nothing to deliver.")
