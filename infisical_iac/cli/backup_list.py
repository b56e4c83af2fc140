"""`infisical-iac backup list`: the snapshots in every target."""

from dataclasses import asdict

import click
from rich.table import Table

from infisical_iac.backup import snapshots
from infisical_iac.backup.record import size
from infisical_iac.backup.snapshots import Listed
from infisical_iac.cli.options import inventory_option, json_option
from infisical_iac.cli.output import console, echo, print_data
from infisical_iac.core.errors import UserError

_SCRIPT = "/usr/local/lib/infisical-iac/backup.sh"


class ListError(UserError):
    """Backups are not set up, or a target can't be read."""


@click.command("list")
@inventory_option
@json_option
def list(inventory: str, as_json: bool) -> None:
    """List the snapshots in every target of the host: when, of which version, how much.

    Exit status: 0 if every target could be read, 1 if one could not, with the reason.
    """
    from infisical_iac.core.inventory import connected
    from infisical_iac.core.remote import run

    with connected(inventory):
        printed = run(
            f"test ! -e {_SCRIPT} || sh {_SCRIPT} list; cat /etc/infisical/backup/ssh_key.pub "
            "2>/dev/null | sed 's/^/key /'",
            doing="list the backups",
        ).splitlines()
    found = snapshots.parse(printed)
    if not found:
        raise ListError("backups are not set up on the host: `infisical-iac apply` does it")
    if as_json:
        print_data([_data(each) for each in found])
    else:
        for each in found:
            _show(each)
        for key in (line.removeprefix("key ") for line in printed if line.startswith("key ")):
            echo(f"The host logs in at SFTP targets with {key}")
    failed = [f"{each.name}: {each.error}" for each in found if each.error]
    if failed:
        raise ListError(f"not every target can be read: {'; '.join(failed)}")


def _show(listed: Listed) -> None:
    if listed.error:
        return
    table = Table(
        title=listed.name, title_justify="left", show_edge=False, pad_edge=False, box=None
    )
    for column in ("Snapshot", "At", "Version"):
        table.add_column(column, no_wrap=True)
    for column in ("Size", "Secrets"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in listed.snapshots:
        at = each.at.strftime("%Y-%m-%d %H:%M:%S %Z")
        table.add_row(each.id, at, each.version, size(each.bytes), str(each.secrets))
    console().print(table)


def _data(listed: Listed) -> dict[str, object]:
    return {
        "name": listed.name,
        "error": listed.error,
        "snapshots": [{**asdict(each), "at": each.at.isoformat()} for each in listed.snapshots],
    }
