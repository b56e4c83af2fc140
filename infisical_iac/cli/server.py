"""`infisical-iac server`: manage the server at Hetzner Cloud."""

from collections.abc import Sequence

import click

from infisical_iac.cli.options import FOUND, json_option, yes_option
from infisical_iac.cli.output import as_data, confirm, confirm_name, count, print_table, show
from infisical_iac.core.own_repository import settings_file
from infisical_iac.core.terminal import console, echo, print_data
from infisical_iac.hetzner import remote, replacement
from infisical_iac.hetzner.api import ADOPT, SELECTOR, connect
from infisical_iac.hetzner.edge import LoadBalancer
from infisical_iac.hetzner.parts import CloudVolume, PrimaryIps
from infisical_iac.hetzner.plan import (
    collect_notes,
    forget_host_keys,
    list_resources,
    list_unadopted,
    list_volumes,
    make_change,
    observe,
    plan_changes,
    plan_removal,
    sum_prices,
)
from infisical_iac.hetzner.resource import CloudDeployment, CloudNode, ListedResource, PlannedChange
from infisical_iac.hetzner.server import CloudServer

_timeout_option = click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Seconds to wait until a new server can be reached.",
)


@click.command()
@json_option
@click.pass_context
def plan(ctx: click.Context, as_json: bool) -> None:
    """Show what `server create` would create at Hetzner Cloud, with prices, and change nothing.

    Prices are net and current, as the API reports them.

    Exit status: 0 for nothing to change; 2 for changes; 1 for an error.
    """
    deployment = observe(reads=True)
    changes = plan_changes(deployment)
    if as_json:
        costs = sum_prices(deployment)
        print_data(
            {
                "changes": as_data(changes),
                "notes": collect_notes(deployment),
                "monthly": f"{costs.monthly:.2f}",
                "hourly": f"{costs.hourly:.4f}",
                "currency": costs.currency,
            }
        )
    else:
        _show_plan(deployment, changes)
        echo(f"{count(changes)} to make." if changes else "Nothing to change.")
    ctx.exit(FOUND if changes else 0)


@click.command()
@_timeout_option
@yes_option
def create(timeout: int, yes: bool) -> None:
    """Create the resources of the settings at Hetzner Cloud: SSH keys, firewall, addresses, volume,
    server, reverse DNS and DNS records. Each is shown with its price first.

    The command ends once the server accepts SSH, verified by the host key that it was given, has
    finished its first boot, and has replaced that key by one that never left the server. Resources
    that exist are kept, and the next run completes one that failed.

    Exit status: 0 when everything is there; 1 for an error, or if you answer no.
    """
    deployment = observe(timeout=timeout)
    changes = plan_changes(deployment)
    if not changes:
        echo("Nothing to change.")
        return
    _show_plan(deployment, changes, stderr=True)
    confirm("Make these changes?", yes=yes)
    _make_all(changes)
    for node in deployment.nodes:
        echo(f"The server {node.desired.name} is up at {node[PrimaryIps].login_address}.")
    volume = deployment.nodes[0][CloudVolume].found
    balancer = deployment[LoadBalancer]
    if balancer.found:
        echo(f"The Load Balancer is up at {', '.join(balancer.addresses.values())}.")
    elif volume and not deployment.desired.first.role:
        echo(f"Add to {settings_file()}, so that the data are on the volume:\n")
        echo(f'    data_volume = "{volume.linux_device}"\n')
    echo("Run next:\n\n    infisical-iac plan\n    infisical-iac apply")


@click.command()
@yes_option
def adopt(yes: bool) -> None:
    """Label resources at Hetzner Cloud, which an earlier version of this project created, with the
    name of this deployment.

    They carry the label managed-by=infisical-iac only, and are not changed until they are adopted.
    Those of the setting `server_name` are listed with their new label, and labelled after a
    question; nothing else is changed. Resources that belong, or may belong, to another deployment
    are not changed.

    Exit status: 0 when nothing is left to adopt; 1 for an error, or if you answer no.
    """
    deployment = observe(adopts=True)
    changes, name = [*deployment.adoptable.values()], deployment.desired.name
    if not changes:
        echo(f"Nothing is left to adopt for the deployment {name}.")
        return
    _show(changes)
    question = f"Label these for the deployment {name}, which can then change and delete them?"
    confirm(question, yes=yes)
    _make_all(changes)
    echo(f"{count(changes)} made: the resources belong to the deployment {name} now.")


@click.command()
@click.argument("node", required=False)
@click.option(
    "--undo", is_flag=True, help="Go back to the old server, as long as it has its addresses."
)
@click.option(
    "--fresh", is_flag=True, help="Replace the server even if it matches the settings already."
)
@_timeout_option
@yes_option
def replace(node: str | None, undo: bool, fresh: bool, timeout: int, yes: bool) -> None:
    """Replace the server by a new one that matches the settings, such as a bigger one.

    The old server is stopped. Its volume moves to the new one, and Infisical is deployed and
    checked there, at a temporary address. Then the addresses move, and once Infisical is healthy at
    them, the old server is deleted. The next run completes one that failed; until the addresses
    have moved, --undo goes back.

    In a cluster, name the NODE to replace. The other nodes have its data: the new server gets its
    name and addresses and an empty volume, and `apply` adds it to the cluster. The old volume is
    kept.

    Exit status: 0 when the new server has taken over; 1 for an error, or if you answer no.
    """
    deployment = observe(timeout=timeout)
    first = deployment.desired.first
    if first.role:
        if undo:
            raise click.UsageError(
                "--undo is for a single server, not for a cluster's node: leave it out."
            )
        found = replacement.find_node(deployment, node)
        _replace_node(found, fresh=fresh, timeout=timeout, yes=yes)
    elif node not in (None, first.name):
        raise click.UsageError(
            f"there is no server {node}: leave the name out (a single host has only {first.name})."
        )
    else:
        _replace_server(undo=undo, fresh=fresh, timeout=timeout, yes=yes)


def _replace_server(*, undo: bool, fresh: bool, timeout: int, yes: bool) -> None:
    now = replacement.Replacement(timeout=timeout)
    name, to = now.desired.name, console(stderr=True)
    executor = remote.RemoteExecutor(str(now.volume.linux_device), timeout=timeout)

    def report(what: str) -> None:
        to.print(f"[green]✓[/] {what}")

    if undo:
        confirm(f"Go back to the old server of {name}?", yes=yes)
        replacement.undo_replacement(executor, report, timeout=timeout)
        return
    if not fresh and now.is_pointless:
        echo(f"The server {name} matches the settings; --fresh replaces it nevertheless.")
        return
    for title in replacement.TITLES.values():
        to.print(f"  {title}", markup=False)
    to.print(f"The new server: {now.node[CloudServer].summary}, net.")
    to.print("Infisical is unreachable from the stop of the old server until the new one started.")
    confirm(f"Replace {name}?", yes=yes)
    after = replacement.replace_server(executor, report, timeout=timeout)
    _make_all(plan_changes(after))
    address = after.nodes[0][PrimaryIps].login_address
    echo(f"The server {name} was replaced; the new one is at {address}.")


def _replace_node(node: CloudNode, *, fresh: bool, timeout: int, yes: bool) -> None:
    executor, name = remote.RemoteExecutor("", timeout=timeout), node.desired.name
    if not fresh and replacement.is_pointless(node):
        echo(f"The server {name} matches the settings; --fresh replaces it nevertheless.")
        return
    removals = []
    if fresh or not replacement.is_unfinished(node):
        replacement.check_others(node, executor)
        removals = [*replacement.plan_node_removal(node, executor)]
    _show(removals)
    echo(f"Then a new one is created in its place: {node[CloudServer].summary}, net.", err=True)
    confirm(f"Replace {name}?", yes=yes)
    _make_all(removals)
    _make_all(plan_changes(observe(timeout=timeout)))
    echo(f"The server {name} was replaced; the new one is at {node[PrimaryIps].login_address}.")
    echo("Run next, to add it to the cluster:\n\n    infisical-iac apply")


@click.command()
@click.option("--with-data", is_flag=True, help="Also delete the volume with all data.")
@click.option("--confirm", metavar="NAME", help="Give the server's name instead of typing it.")
def destroy(with_data: bool, confirm: str | None) -> None:
    """Delete the server with its addresses, firewall, keys and records, after you typed its name.

    The volume is kept with its protection, and the next `server create` attaches it again. With
    --with-data its protection is removed and it is deleted.

    Exit status: 0 when nothing is left to delete; 1 for an error, or if you type another
    name.
    """
    deployment = observe()
    changes = plan_removal(deployment, with_data=with_data)
    name, volumes = deployment.desired.name, list_volumes(deployment)
    kept = _describe_kept(volumes)
    if not changes:
        echo(f"Nothing of {name} is at Hetzner Cloud{kept}.")
        return
    _show(changes)
    is_cluster, many = len(deployment.nodes) > 1, len(deployment.all_nodes) > 1
    kind = "cluster" if is_cluster else "deployment" if many else "server"
    what = f"all servers of the {kind}" if many else "the server"
    deletes = f"This deletes {what} {_describe_data(volumes, with_data=with_data, many=many)}."
    confirm_name(deletes, f"the {kind}'s", name, confirm)
    _make_all(changes)
    forget_host_keys(deployment)
    echo(f"The {kind} {name} was deleted{'' if with_data else kept}.")


def _describe_kept(volumes: Sequence[str]) -> str:
    if len(volumes) > 1:
        return f"; the volumes {', '.join(volumes)} with their data are kept"
    return f"; the volume {volumes[0]} with its data is kept" if volumes else ""


def _describe_data(volumes: Sequence[str], *, with_data: bool, many: bool) -> str:
    if not volumes and many:
        return "and the data on their own disks, as they have no volumes"
    if not volumes:
        return "and the data on its own disk, as it has no volume"
    if with_data:
        return "with ALL THEIR DATA" if many else "with ALL ITS DATA"
    return "but not their volumes" if many else "but not its volume"


@click.command()
@json_option
def list(as_json: bool) -> None:
    """List the servers, volumes and Load Balancers that this project created, also unattached
    volumes.

    All deployments are listed with their names; then the resources of an earlier version, which
    belong to no deployment until `server adopt`.

    Exit status: 0, also if there are none; 1 for an error.
    """
    client = connect()
    rows, unadopted = list_resources(client), list_unadopted(client)
    if as_json:
        print_data([row._asdict() for row in rows])
    elif not rows:
        echo(f"Nothing at Hetzner Cloud has the label {SELECTOR}.")
    else:
        print_table(map(str.capitalize, ListedResource._fields), rows)
    if unadopted:
        echo(
            f"Note: an earlier version created these, so they belong to no deployment yet: "
            f"{', '.join(unadopted)}; `{ADOPT}` takes over those of this deployment.",
            err=True,
        )


def _show(changes: Sequence[PlannedChange], *, stderr: bool = True) -> None:
    show(changes, stderr=stderr)


def _show_plan(
    deployment: CloudDeployment, changes: Sequence[PlannedChange], *, stderr: bool = False
) -> None:
    """Print each change, the notes, and the price of all resources."""
    _show(changes, stderr=stderr)
    to = console(stderr=stderr)
    for note in collect_notes(deployment):
        to.print(f"! {note}", markup=False)
    to.print(f"In total: {sum_prices(deployment)}, net, without additional traffic.")


def _make_all(changes: Sequence[PlannedChange]) -> None:
    """Make the changes in their order, and print each that was made."""
    to = console(stderr=True)
    for change in changes:
        with to.status(f"{change.what} …"):
            make_change(change)
        to.print(f"[green]✓[/] {change.what}")
