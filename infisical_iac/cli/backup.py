"""`infisical-iac backup`: make a backup now, and list the snapshots."""

from dataclasses import asdict

import click

from infisical_iac.backup.record import ListedSnapshots, Record, size
from infisical_iac.cli.main import LazyGroup
from infisical_iac.cli.options import Lock, inventory_option, json_option, lock_options
from infisical_iac.cli.output import print_table
from infisical_iac.core.errors import RunFailed, UserError
from infisical_iac.core.terminal import echo, print_data
from infisical_iac.core.wording import pluralize


@click.group(
    cls=LazyGroup,
    summaries={"now": "Make a backup now.", "list": "List the snapshots in every target."},
    module="backup",
)
def backup() -> None:
    """Make a backup now, in addition to the host's own timer, and list the snapshots."""


@click.command()
@inventory_option
@lock_options
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=3600,
    show_default=True,
    help="Seconds to wait for the backup to end.",
)
@json_option
def now(inventory: str, lock: Lock, timeout: int, as_json: bool) -> None:
    """Make a backup in every target, and report the new snapshots.

    The command starts the same unit as the host's timer.

    Exit status: 0 if every target has a new snapshot; 1 if one has not, with the reason, or for an
    error.
    """
    from infisical_iac.backup import record
    from infisical_iac.core import audit
    from infisical_iac.core.inventory import connect

    with connect(inventory) as host:
        on_cluster = host.data.get("topology") == "swarm"
        lock(host)
        changes: list[str] = []
        with audit.record("backup", changes):
            found = record.back_up(timeout, on_cluster=on_cluster)
            changes += [
                f"+ snapshot {each.snapshot} in {each.name}" for each in found.saved_targets
            ]
            _report(found, as_json=as_json)
            if found.failure:
                raise RunFailed(f"the backup failed: {found.failure}")


def _report(found: Record, *, as_json: bool) -> None:
    if as_json:
        keys = ("name", "snapshot", "added", "snapshots")
        saved = [{key: getattr(each, key) for key in keys} for each in found.saved_targets]
        print_data({"bytes": found.bytes, "failure": found.failure, "saved": saved})
        return
    for each in found.saved_targets:
        echo(
            f"{each.name}: snapshot {each.snapshot} of {size(found.bytes)}, "
            f"{size(each.added)} of it new; {pluralize(each.snapshots, 'snapshot')} in total"
        )


@click.command("list")
@inventory_option
@json_option
def list_command(inventory: str, as_json: bool) -> None:
    """List the snapshots in every target: time, version and size.

    Exit status: 0 if every target could be read; 1 if one could not, with the reason.
    """
    from infisical_iac.core.inventory import connect

    with connect(inventory):
        from infisical_iac.backup import record

        found, key = record.list_snapshots()
    if as_json:
        print_data([_listed_data(each) for each in found])
    else:
        for each in found:
            if not each.error:
                _show(each)
        if key:
            echo(f"The host's public key for SFTP targets: {key}")
    failed = [f"{each.name}: {each.error}" for each in found if each.error]
    if failed:
        raise UserError(f"not every target could be read: {'; '.join(failed)}")


def _show(listed: ListedSnapshots) -> None:
    rows = [
        (each.id, f"{each.at:%Y-%m-%d %H:%M:%S %Z}", each.version, size(each.bytes), each.secrets)
        for each in listed.snapshots
    ]
    columns = ("Snapshot", "At", "Version", "Size", "Secrets")
    print_table(columns, rows, numbers=("Size", "Secrets"), title=listed.name)


def _listed_data(listed: ListedSnapshots) -> dict[str, object]:
    return {
        "name": listed.name,
        "error": listed.error,
        "snapshots": [{**asdict(each), "at": each.at.isoformat()} for each in listed.snapshots],
    }
