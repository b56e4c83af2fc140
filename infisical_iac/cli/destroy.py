"""`infisical-iac destroy`: remove the stack, after a backup."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from infisical_iac.cli.options import Lock, inventory_option, lock_options
from infisical_iac.cli.output import confirm_name
from infisical_iac.core.errors import Refused, UserError
from infisical_iac.core.terminal import echo

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.stack.deploy import HostRemoval


_BACKUPS = "/var/backups/infisical-iac"
_GONE = (
    "Data, keys, certificates, credentials, the firewall and fail2ban's jails were deleted. "
    "Docker, its images, the audit log, the access log and the backups, which hold the keys, were "
    "kept."
)


@click.command()
@inventory_option
@lock_options
@click.option(
    "--volumes", is_flag=True, help="Also delete data, keys, credentials and the firewall."
)
@click.option("--confirm", metavar="HOST", help="Give the host's name instead of typing it.")
@click.option("--no-backup", is_flag=True, help="Destroy without taking a backup first.")
def destroy(
    inventory: str, lock: Lock, volumes: bool, confirm: str | None, no_backup: bool
) -> None:
    """Remove Infisical, PostgreSQL and Redis from the inventory's host, or from a cluster.

    First a backup of the database and the keys is made on the host. Without --volumes the data and
    the keys stay, and `apply` deploys Infisical with them again. The command asks for a name: the
    host's; for a server found at Hetzner Cloud, the server's; for a cluster, the setting
    server_name, or the inventory's name if its hosts are named by hand.

    Exit status: 0 when nothing is left to remove; 1 for an error, with the reason, or if you
    type another name.
    """
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connect

    # An earlier run may have been interrupted after hosts left the swarm, without a quorum now.
    with connect(inventory, quorum=not volumes) as host:
        lock(host)
        target = _target(host, inventory)
        there = target.list_deployed()
        if not there:
            echo(f"Nothing of Infisical is on {target.name}.")
            return
        if not volumes and "container " not in there:
            echo(f"No containers are on {target.name}; --volumes deletes data and keys.")
            return
        _confirm(target, confirm, volumes=volumes)
        changes: list[str] = []
        with audit.record("destroy", changes):
            if not no_backup:
                changes.append(f"+ {_back_up(target)}")
            target.remove(volumes=volumes)
            changes += ["- stack", *(["- volumes, keys and credentials"] if volumes else [])]
    echo(f"Infisical is no longer on {target.name}. {_GONE if volumes else target.kept}")


def _target(host: "Host", inventory: str) -> "HostRemoval":
    from infisical_iac.core.topology import SINGLE, hook
    from infisical_iac.stack.deploy import HostRemoval

    topology = str(host.data.get("topology") or SINGLE)
    return hook(HostRemoval, topology).of(host, inventory)


def _confirm(target: "HostRemoval", given: str | None, *, volumes: bool) -> None:
    at = f" from {target.name} at {target.address}" if target.address else ""
    what = f"Infisical with all its data{at}" if volumes else f"Infisical{at}, but not its data"
    confirm_name(f"This removes {what}.", target.called, target.name, given)


def _back_up(target: "HostRemoval") -> str:
    directory = f"{_BACKUPS}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        on = target.back_up(directory)
    except UserError as error:
        raise Refused(
            f"{error}; nothing was removed (if an earlier backup in {_BACKUPS} is enough, skip "
            "this one by --no-backup)"
        ) from None
    echo(f"A backup is in {directory} on {on}: copy it to a safe place.")
    return directory
