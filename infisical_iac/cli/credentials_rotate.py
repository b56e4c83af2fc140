"""`infisical-iac credentials rotate` and `revoke`: a new client secret, or none."""

from datetime import timedelta
from pathlib import Path

import click

from infisical_iac.cli.credentials_deliver import delivery
from infisical_iac.cli.credentials_options import (
    deploy_option,
    environment_option,
    overlap_option,
    place_options,
    service_argument,
)
from infisical_iac.cli.options import Lock, lock_options, yes_option
from infisical_iac.cli.output import counted, echo
from infisical_iac.workspace import client_secrets
from infisical_iac.workspace.credentials_reach import CredentialsError, keep
from infisical_iac.workspace.rotation import Rotation


@click.command(short_help="Replace a client secret, with an overlap.")
@service_argument
@environment_option
@overlap_option
@deploy_option
@place_options
@lock_options
def rotate(
    service: str,
    environment: str,
    overlap: timedelta,
    deploy: bool,
    inventory: str,
    file: Path | None,
    where: Path | None,
    lock_timeout: int,
    break_lock: bool,
) -> None:
    """Replace the client secret of SERVICE in an environment.

    The new one is proven by a login, put into its file, and delivered to where the workspace
    file says. Only then does the time begin that the old one has left: until then services must
    have been started anew. The next apply, or rotation, after it revokes the old one. A
    rotation that was interrupted is completed by the next.
    """
    with keep(inventory, file, where, lock=Lock(lock_timeout, break_lock)) as kept:
        step = kept.one(service, environment)
        way = delivery(step.account, deploys=deploy, tell=kept.tell)
        way.check()
        if step.held and step.held.is_undelivered:
            echo("Completing the rotation that was begun.")
        with kept.recorded():
            Rotation(kept.reached.client, kept.store, way.deliver, overlap, kept.tell).run(step)


@click.command(short_help="Revoke all client secrets of a service, at once.")
@service_argument
@environment_option
@place_options
@yes_option
@lock_options
def revoke(
    service: str,
    environment: str,
    inventory: str,
    file: Path | None,
    where: Path | None,
    yes: bool,
    lock_timeout: int,
    break_lock: bool,
) -> None:
    """Revoke all client secrets of SERVICE in an environment, with all tokens, at once.

    Those that others made for its identity too; its file is removed. The next apply makes new
    ones: to end a service for good, take it out of the workspace file.
    """
    with keep(inventory, file, where, lock=Lock(lock_timeout, break_lock)) as kept:
        step = kept.one(service, environment)
        name = step.account.credentials
        secrets = list(step.holder.secrets) if step.holder else []
        has_file = name in (kept.files or {})
        if not secrets and not has_file:
            echo("Nothing to revoke.")
            return
        count = counted(len(secrets), "client secret")
        if not yes:
            question = f"Type {name} to revoke its {count}, which stops what runs with them"
            if click.prompt(question, default="", show_default=False, err=True) != name:
                raise CredentialsError(f"that is not {name}: nothing was changed")
        with kept.recorded():
            if step.holder:
                client_secrets.revoke(
                    kept.reached.client, step.holder, [each.id for each in secrets]
                )
            kept.told.append(f"- client secrets of {name}: {len(secrets)}")
            kept.store.remove(name)
            kept.told.append(f"- credentials {name}")
    echo(f"{count} of {name} revoked; the next apply makes a new one.")
    if step.account.target:
        echo(f"{step.account.target} keeps one that no longer works.")
