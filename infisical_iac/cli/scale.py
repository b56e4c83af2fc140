"""`infisical-iac scale-out` and `scale-in`: migrate from a single host to a cluster, and back."""

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from infisical_iac.cli.deploy import run_or_roll_back
from infisical_iac.cli.options import (
    Lock,
    inventory_option,
    lock_options,
    open_host,
    require_project_file,
    yes_option,
)
from infisical_iac.core.errors import UserError
from infisical_iac.core.terminal import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyinfra.api.host import Host

    from infisical_iac.core.settings import Settings

_migrate = partial(
    run_or_roll_back,
    name="migration",
    what="The old deployment",
    remedy="the same command with --undo tries again",
    done="Migrated",
)


@click.command()
@inventory_option
@yes_option
@lock_options
@click.option(
    "--undo", is_flag=True, help="Go back to the single host after an interrupted scale-out."
)
def scale_out(inventory: str, yes: bool, lock: Lock, undo: bool) -> None:
    """Move Infisical from the single host in the inventory to the cluster of all its hosts.

    The inventory names the host that serves now and the new ones, with topology "swarm". The swarm
    and its databases are set up while the single host serves. Then Infisical pauses: the database
    is dumped, loaded into the cluster and compared table by table, and the cluster takes over.
    Logins of people and machines are checked, and every secret must read as before; otherwise the
    single host serves again. Its volumes stay.

    The next run undoes a run that was interrupted before the cluster took over, and completes one
    that was interrupted after that.

    Exit status: 0 when the cluster serves; 1 for an error.
    """
    with _open_cluster(inventory, lock, undo=undo) as (host, settings):
        from infisical_iac.cluster import scaling

        switched = scaling.undo(settings, asked=undo)
        if not undo:
            _migrate(
                host,
                partial(scaling.scaling_out, switched=switched),
                lambda: scaling.recover(
                    settings.stack,
                    again="The same command tries again, and with --undo removes the swarm.",
                    rest="`infisical-iac apply`",
                    switched=switched,
                ),
                question="Move Infisical to the cluster? It is unreachable meanwhile",
                yes=yes,
            )


@click.command()
@inventory_option
@yes_option
@lock_options
@click.option("--undo", is_flag=True, help="Go back to the cluster after an interrupted scale-in.")
def scale_in(inventory: str, yes: bool, lock: Lock, undo: bool) -> None:
    """Move Infisical from a cluster to its leader, and remove the cluster.

    Infisical pauses: the database is dumped, loaded on that host and compared table by table, and
    the host takes over. Logins of people and machines are checked, and every secret must read as
    before; otherwise the cluster serves again. Then the hosts leave the swarm; the cluster's
    volumes stay.

    Exit status: 0 when the host serves; 1 for an error.
    """
    with _open_cluster(inventory, lock, undo=undo) as (host, settings):
        from infisical_iac.cluster import scaling

        if undo:
            scaling.undo(settings, asked=True)
            return
        if not scaling.end_proven():
            switched = scaling.undo(settings, asked=False)
            _migrate(
                host,
                partial(scaling.scaling_in, switched=switched),
                lambda: scaling.recover(
                    settings.stack,
                    again="The same command tries again.",
                    rest="the same command",
                    switched=switched,
                ),
                question=f"Move Infisical to {host.name}? It is unreachable meanwhile",
                yes=yes,
            )
        echo(
            f'Set topology = "single", keep only {host.name} in the inventory, and run '
            "`infisical-iac apply`."
        )


@contextmanager
def _open_cluster(inventory: str, lock: Lock, *, undo: bool) -> "Iterator[tuple[Host, Settings]]":
    """Connect to all hosts of a cluster and lock them, and yield one host with its settings.

    That host has the record of an unfinished migration, or else is the leader. It is pyinfra's
    current host.
    """
    from infisical_iac.core.connection import current, with_others

    def check(settings: "Settings") -> None:
        if settings.cluster.topology != "swarm":
            raise UserError(
                "setting 'topology' is 'single': name the inventory of the whole cluster, "
                "with topology 'swarm'"
            )
        if not undo:
            require_project_file(settings)

    # An interrupted scale-in may leave a swarm without a quorum, and must be completed.
    with open_host(inventory, quorum=False, shares=False, check=check) as (found, settings):
        from infisical_iac.cluster.scaling import read_unfinished

        lock(found)
        keeper = found
        for each in with_others(found):
            with current(each):
                if read_unfinished():
                    keeper = each
                    break
        with current(keeper):
            yield keeper, settings
