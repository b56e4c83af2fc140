"""`infisical-iac scale-in`: from a cluster back to one of its hosts."""

from functools import partial

import click

from infisical_iac.cli.options import inventory_option, lock_options, yes_option
from infisical_iac.cli.output import echo


@click.command()
@inventory_option
@yes_option
@lock_options
@click.option("--undo", is_flag=True, help="Let the cluster serve again after a move that died.")
def scale_in(inventory: str, yes: bool, lock_timeout: int, break_lock: bool, undo: bool) -> None:
    """Move Infisical from the inventory's cluster to the host that leads it, and end the cluster.

    Infisical pauses: the database is dumped, loaded on that host and compared table by table, and
    the host takes over. People and machines must get in, and every secret must be read as before;
    else the cluster serves again. Then the hosts leave the swarm; the cluster's volumes stay. Exit
    status: 0 when the host serves, 1 for an error.
    """
    from infisical_iac.cluster import moving

    with moving.moving(inventory, wait=lock_timeout, by_force=break_lock) as (host, settings):
        if undo:
            moving.undo(host, settings, asked=True)
            return
        if not moving.end(host):
            from infisical_iac.cluster.scaling_deploy import scaling_in

            switched = moving.undo(host, settings, asked=False)
            moving.move(
                host,
                settings,
                partial(scaling_in, switched=switched),
                direction=f"to {host.name}",
                again="The same command tries again.",
                rest="the same command",
                yes=yes,
                switched=switched,
            )
        echo(
            f'Set topology = "single", keep {host.name} alone in the inventory, and run '
            "`infisical-iac apply`."
        )
