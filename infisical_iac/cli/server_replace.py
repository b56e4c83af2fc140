"""`infisical-iac server replace`: another server in the place of this one, with all its data."""

import click

from infisical_iac.cli.items import console, echo, show
from infisical_iac.cli.options import yes_option
from infisical_iac.cli.server_showing import make_all, timeout_option
from infisical_iac.hetzner.plan import Everything


@click.command()
@click.argument("node", required=False)
@click.option("--undo", is_flag=True, help="Go back to the old server, while it has its address.")
@click.option("--fresh", is_flag=True, help="Also where the new server would be as the old one is.")
@timeout_option
@yes_option
def replace(node: str | None, undo: bool, fresh: bool, timeout: int, yes: bool) -> None:
    """Make a server as the settings say now, such as a bigger one, and let it take over.

    The old server is stopped, its volume moves to the new one, which is deployed to and proven at
    an address of its own; then the addresses move, and once Infisical is well there, the old
    server is deleted. What a run that failed left undone is taken up by the next, and until the
    addresses have moved, --undo goes back. Exit status: 0 when the new server has taken over, 1
    for an error, or for no to the question.

    Of a cluster, NODE is replaced, whose data the others have: a new server with its name and
    addresses, an empty volume, and `apply` to bring it into the cluster. The old volume is kept.
    """
    from infisical_iac.hetzner import plan as session

    found = session.begun()
    if found.only.want.role:
        _replace_node(found, node, undo=undo, fresh=fresh, timeout=timeout, yes=yes)
        return
    if node not in (None, found.only.want.name):
        raise click.UsageError(f"the server is {found.only.want.name}, not {node}.")
    _replace_server(undo=undo, fresh=fresh, timeout=timeout, yes=yes)


def _replace_server(*, undo: bool, fresh: bool, timeout: int, yes: bool) -> None:
    from infisical_iac.hetzner import moving, replacing
    from infisical_iac.hetzner.hands import Hands
    from infisical_iac.hetzner.replacement import TITLES

    now = moving.look(timeout=timeout)
    want, to = now.session.want, console(stderr=True)
    hands = Hands(now.device, timeout=timeout)

    def tell(what: str) -> None:
        to.print(f"[green]✓[/] {what}")

    if undo:
        if not yes:
            click.confirm(f"Go back to the old server of {want.name}?", abort=True, err=True)
        replacing.undo(hands, tell, timeout=timeout)
        return
    if not fresh and replacing.pointless(now):
        echo(f"The server {want.name} is as the settings say; --fresh replaces it all the same.")
        return
    for title in TITLES.values():
        to.print(f"  {title}", markup=False)
    price = now.session.prices.server(want.type, want.location)
    to.print(f"The new server: {want.type} in {want.location} with {want.image}, {price}, net.")
    to.print("Infisical is away from when the old one is stopped until the new one has started.")
    if not yes:
        click.confirm(f"Replace {want.name}?", abort=True, err=True)
    found = replacing.replace(hands, tell, timeout=timeout)
    make_all(found.changes(timeout=timeout))
    echo(f"The server {want.name} is a new one, at {found.only.have.address}.")


def _replace_node(
    found: Everything, name: str | None, *, undo: bool, fresh: bool, timeout: int, yes: bool
) -> None:
    from infisical_iac.hetzner import node_replacement as node_replacing
    from infisical_iac.hetzner import plan as session
    from infisical_iac.hetzner.hands import Hands

    if undo:
        raise click.UsageError("of a cluster's node, --undo has nothing to go back to.")
    node, hands = node_replacing.node_of(found, name), Hands("", timeout=timeout)
    want = node.want
    if not fresh and node_replacing.pointless(node):
        echo(f"The server {want.name} is as the settings say; --fresh replaces it all the same.")
        return
    removals = []
    if fresh or not node_replacing.unfinished(node):
        node_replacing.check(found, node, hands)
        removals = [*node_replacing.removals(node, hands)]
    show([each.item for each in removals], (), console(stderr=True))
    price = node.prices.server(want.type, want.location)
    echo(
        f"Then a new one is made in its place: {want.type} in {want.location} with {want.image}, "
        f"{price}, net.",
        err=True,
    )
    if not yes:
        click.confirm(f"Replace {want.name}?", abort=True, err=True)
    make_all(removals)
    make_all(session.begun().changes(timeout=timeout))
    echo(f"The server {want.name} is a new one, at {node.have.address}.")
    echo("Run next, to bring it into the cluster:\n\n    infisical-iac apply")
