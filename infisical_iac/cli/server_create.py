"""`infisical-iac server create`: the server and all that belongs to it, made or completed."""

import click

from infisical_iac.cli.items import echo
from infisical_iac.cli.options import yes_option
from infisical_iac.cli.server_showing import make_all, show_plan, timeout_option


@click.command()
@timeout_option
@yes_option
def create(timeout: int, yes: bool) -> None:
    """Make at Hetzner Cloud what the settings say: SSH keys, firewall, addresses, volume, server,
    reverse DNS and DNS records, after showing each with its price.

    It comes back once the server lets in by SSH, verified by the host key that it was given, has
    ended its first boot, and has made itself a host key that never left it. What is there already
    stays, and what a run that failed left undone is completed. Exit status: 0 when everything is
    there, 1 for an error, or for no to the question.
    """
    from infisical_iac.hetzner import plan as session
    from infisical_iac.hetzner.balancer import addresses

    found = session.begun()
    changes = found.changes(timeout=timeout)
    if not changes:
        echo("Nothing to change.")
        return
    show_plan(found, changes, stderr=True)
    if not yes:
        click.confirm("Make these changes?", abort=True, err=True)
    make_all(changes)
    for node in found.nodes:
        echo(f"The server {node.want.name} is up at {node.have.address}.")
    volume = found.only.have.volume
    if balancer := found.common.balancer:
        echo(f"The Load Balancer is up at {', '.join(addresses(balancer).values())}.")
    elif volume and not found.only.want.role:
        echo("Put into group_data/hetzner.py, so that its data are on the volume:\n")
        echo(f'    data_volume = "{volume.linux_device}"\n')
    echo("Run next:\n\n    infisical-iac plan\n    infisical-iac apply")
