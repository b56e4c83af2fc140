"""`infisical-iac scale-out` and `scale-in`: from a single host into a cluster, and back."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from infisical_iac.cli.options import inventory_option, lock_options, yes_option
from infisical_iac.cli.run import WayBack, run_or_back
from infisical_iac.core.terminal import echo

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from infisical_iac.core.settings import Settings
    from infisical_iac.stack.settings import StackSettings


@click.command()
@inventory_option
@yes_option
@lock_options
@click.option(
    "--undo", is_flag=True, help="Let the single host serve again after a move that died."
)
def scale_out(inventory: str, yes: bool, lock_timeout: int, break_lock: bool, undo: bool) -> None:
    """Move Infisical from the single host in the inventory into the cluster of all its hosts.

    The inventory names the host that serves now and the new ones, with topology "swarm". The
    swarm and its databases come first, while the single host serves. Then Infisical pauses: the
    database is dumped, loaded into the cluster and compared table by table, and the cluster takes
    over. People and machines must get in, and every secret must be read as before; else the single
    host serves again. Its volumes stay. A run that died before the cluster took over is undone by
    the next one, and one that died after that is completed. Exit status: 0 when the cluster serves,
    1 for an error.
    """
    from infisical_iac.cluster import moving

    with moving.moving(inventory, wait=lock_timeout, by_force=break_lock) as (host, settings):
        switched = moving.undo(host, settings, asked=undo)
        if not undo:
            from infisical_iac.cluster.scaling import scaling_out

            _move(
                host,
                settings,
                partial(scaling_out, switched=switched),
                direction="into the cluster",
                again="The same command tries again, and with --undo takes the swarm away.",
                rest="`infisical-iac apply`",
                yes=yes,
                switched=switched,
            )


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
            from infisical_iac.cluster.scaling import scaling_in

            switched = moving.undo(host, settings, asked=False)
            _move(
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


def _move(
    host: "Host",
    settings: "Settings",
    steps: Callable[[], object],
    *,
    direction: str,
    again: str,
    rest: str,
    yes: bool,
    switched: bool,
) -> None:
    """Show what is to be done, ask, and do it; what served before comes back if it fails.

    Raises Failed.

    Args:
        steps: those of the deploy that moves.
        direction: where to, for the question.
        again: a sentence on what to do after a failure, when what served before serves.
        rest: the command that does what is left to do after the proof, for a sentence.
        switched: whether an earlier run has moved the data, which are not given up for a failure.
    """
    run_or_back(
        host,
        steps,
        WayBack(
            lambda: _after_failure(settings.stack, again, rest, switched),
            what="What served before",
            remedy="the same command with --undo tries again",
        ),
        name="move",
        question=f"Move Infisical {direction}? It pauses meanwhile",
        done="Moved",
        yes=yes,
    )


def _after_failure(settings: "StackSettings", again: str, rest: str, switched: bool) -> str:
    """Bring back what served before if the move has not ended, and tell what is so now."""
    from infisical_iac.cluster import scaling

    if scaling.succeeded():
        return f"The moved data are proven and serve; {rest} does the rest."
    if switched:
        return (
            "The data are where they were moved to: the same command tries again, and with --undo "
            "goes back to those from before the move"
        )
    found = scaling.unfinished()
    if found is None:
        return f"The data were not touched. {again}"
    return " ".join([*scaling.go_back(found, settings.start_timeout), again])
