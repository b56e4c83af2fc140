"""How the commands for the server tell what they are going to do, and do it."""

from collections.abc import Sequence

import click

from infisical_iac.cli.items import console, show
from infisical_iac.hetzner import plan as session
from infisical_iac.hetzner.change import Change
from infisical_iac.hetzner.costs import monthly
from infisical_iac.hetzner.network_changes import is_awaited
from infisical_iac.hetzner.plan import Everything, Session

timeout_option = click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Seconds to wait for a new server to be up.",
)


def show_plan(found: Everything, changes: Sequence[Change], *, stderr: bool = False) -> None:
    """Print each change, what differs without being changed, and what everything costs."""
    to = console(stderr=stderr)
    show([each.item for each in changes], (), to)
    for note in notes(found):
        to.print(f"! {note}", markup=False)
    to.print(f"All of it: {monthly(found.want, found.prices)}, net, traffic beyond it apart.")


def notes(found: Everything) -> list[str]:
    """What is not as the settings say and isn't changed by this run, and what to do."""
    told = [each for node in found.nodes for each in _in_place(node)]
    if found.adoptable:
        told.append(f"{session.tell_adoptable(found.adoptable)}; until then nothing is changed")
    for node in found.surplus:
        told.append(
            f"the server {node.want.name} is more than the setting 'servers' says: it stays; "
            "delete it in the console once the cluster does without it"
            if found.want.first.role
            else f"the server {node.want.name} is of this deployment too, which is to be "
            f"{found.want.first.name} alone: it stays; delete it in the console if it is of no use"
        )
    if is_awaited(found.want, found.common):
        told.append(
            f"the records of {found.want.first.record} in {found.want.first.zone} lead elsewhere: "
            "they change once the balancer finds a node well, so run again after `apply`"
        )
    return told


def _in_place(found: Session) -> list[str]:
    server, want = found.have.server, found.want
    if server is None:
        return []
    which = f" {want.name}" if want.role else ""
    there = {
        "server_type": (server.server_type and server.server_type.name, want.type),
        "server_location": (server.location and server.location.name, want.location),
    }
    return [
        f"setting {name!r}: the server {want.name} has {is_}, not {should}: "
        f"`infisical-iac server replace{which}` moves to one that has"
        for name, (is_, should) in there.items()
        if is_ and is_ != should
    ]


def make_all(changes: Sequence[Change]) -> None:
    """Make the changes in their order, telling each that is made."""
    to = console(stderr=True)
    for change in changes:
        with to.status(f"{change.item.what} …"):
            session.make(change)
        to.print(f"[green]✓[/] {change.item.what}")
