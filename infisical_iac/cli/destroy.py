"""`infisical-iac destroy`: the stack taken away, after a backup."""

from datetime import UTC, datetime

import click

from infisical_iac.cli.options import inventory_option, lock_options
from infisical_iac.errors import UserError

_BACKUPS = "/var/backups/infisical-iac"
_KEPT = "Data and keys are kept."
_GONE = (
    "Data, keys, certificates, credentials, the firewall and fail2ban's jails are gone; Docker, "
    "its images, the logs of audit and access, and backups, which hold the keys, are still there."
)


class DestroyError(UserError):
    """The host's name was not typed, or no backup could be taken."""


@click.command(short_help="Take Infisical away, after a backup.")
@inventory_option
@lock_options
@click.option("--volumes", is_flag=True, help="Delete data, keys, credentials and firewall too.")
@click.option("--confirm", metavar="HOST", help="The host's name, so that it isn't asked for.")
@click.option("--no-backup", is_flag=True, help="Take no backup first.")
def destroy(
    inventory: str,
    lock_timeout: int,
    break_lock: bool,
    volumes: bool,
    confirm: str | None,
    no_backup: bool,
) -> None:
    """Take Infisical, PostgreSQL and Redis away from the inventory's host.

    A backup of database and keys is taken first, on the host. Without --volumes the data and
    the keys stay, and `apply` brings all back. Exit status: 0 when nothing is left to take away,
    1 for an error, with the reason, or for another name than the host's.
    """
    from infisical_iac.cli.connect import connected
    from infisical_iac.operations import audit, lock
    from infisical_iac.operations.remote import run
    from infisical_iac.rendering import script

    with connected(inventory) as host:
        lock.take(host, wait=lock_timeout, by_force=break_lock)
        there = run(script("destroy", "look"), doing="see what is there")
        if not there:
            click.echo(f"Nothing of Infisical is on {host.name}.")
            return
        if not volumes and "container " not in there:
            click.echo(f"No containers are on {host.name}; --volumes deletes data and keys.")
            return
        _confirm(host.name, confirm, volumes=volumes)
        changes: list[str] = []
        with audit.recorded("destroy", changes):
            if not no_backup:
                changes.append(f"+ {_back_up()}")
            run(script("destroy", "everything" if volumes else "stack"), doing="take it away")
            changes += [
                "- stack",
                *(["- volumes, keys and credentials"] if volumes else []),
            ]
    click.echo(f"Infisical is no longer on {host.name}. {_GONE if volumes else _KEPT}")


def _confirm(name: str, given: str | None, *, volumes: bool) -> None:
    what = "Infisical with all its data" if volumes else "Infisical, but not its data,"
    question = f"This takes {what} away. Type the host's name, {name}"
    typed = given or click.prompt(question, err=True, default="", show_default=False)
    if typed != name:
        raise DestroyError(f"{typed!r} is not the host's name, {name}: nothing was done")


def _back_up() -> str:
    from infisical_iac.operations.remote import CommandFailed, run
    from infisical_iac.rendering import script

    directory = f"{_BACKUPS}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        run(script("destroy", "backup", directory), doing="take a backup first")
    except CommandFailed as error:
        raise DestroyError(
            f"{error}; nothing was taken away: let the database run, or do without a backup by "
            "--no-backup"
        ) from None
    click.echo(f"A backup is in {directory} on the host: copy it to a safe place.")
    return directory
