"""`infisical-iac backup now`: the run that the timer makes, at once."""

from dataclasses import asdict
from typing import Any

import click

from infisical_iac.backup import record
from infisical_iac.backup.record import Record, Saved
from infisical_iac.cli.options import inventory_option, json_option, lock_options
from infisical_iac.cli.output import counted, echo, print_data
from infisical_iac.core.errors import UserError

_REQUEST = "/var/lib/infisical-backup/request"


class BackupError(UserError):
    """The backup was not made, or not in every target."""


@click.command()
@inventory_option
@lock_options
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=3600,
    show_default=True,
    help="Seconds to wait for its end.",
)
@json_option
def now(inventory: str, lock_timeout: int, break_lock: bool, timeout: int, as_json: bool) -> None:
    """Make a backup in every target and tell what was made.

    It is the very run that the timer starts. Exit status: 0 if every target has a new snapshot,
    1 if one has not, with the reason, or for an error.
    """
    from infisical_iac.core import audit, lock
    from infisical_iac.core.inventory import connected

    with connected(inventory) as host:
        on_cluster = host.data.get("topology") == "swarm"
        lock.take(host, wait=lock_timeout, by_force=break_lock)
        changes: list[str] = []
        with audit.recorded("backup", changes):
            found = _made(timeout, on_cluster=on_cluster)
            saved = [each for each in found.targets if _is_of(each, found)]
            changes += [f"+ snapshot {each.snapshot} in {each.name}" for each in saved]
            _tell(found, saved, as_json=as_json)
            if found.failure:
                raise BackupError(f"the backup failed: {found.failure}")


def _made(timeout: int, *, on_cluster: bool) -> Record:
    from infisical_iac.backup import timed
    from infisical_iac.core.remote import write

    if on_cluster:  # where the timer leaves what all share to one node, which need not be this one
        write(_REQUEST, "now\n")
    try:
        return record.parse(timed.made("backup", timeout=timeout))
    except ValueError as error:
        raise BackupError(f"the backup's record on the host can't be read: {error}") from None


def _is_of(saved: Saved, found: Record) -> bool:
    return saved.success is not None and saved.success >= found.began


def _tell(found: Record, saved: list[Saved], *, as_json: bool) -> None:
    if as_json:
        print_data({"bytes": found.bytes, "failure": found.failure, "saved": _data(saved)})
        return
    for each in saved:
        echo(
            f"{each.name}: snapshot {each.snapshot} of {record.size(found.bytes)}, "
            f"{record.size(each.added)} of it new; {counted(each.snapshots, 'snapshot')} there"
        )


def _data(saved: list[Saved]) -> list[dict[str, Any]]:
    keys = ("name", "snapshot", "added", "snapshots")
    return [{key: asdict(each)[key] for key in keys} for each in saved]
