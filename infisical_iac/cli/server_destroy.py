"""`infisical-iac server destroy`: the server taken away, its data only if that is said."""

import click

from infisical_iac.cli.items import console, show
from infisical_iac.errors import UserError


class DestroyError(UserError):
    """The server's name was not typed."""


@click.command(short_help="Delete the server; the volume stays.")
@click.option("--with-data", is_flag=True, help="Delete the volume with all data too.")
@click.option("--confirm", metavar="NAME", help="The server's name, so that it isn't asked for.")
def destroy(with_data: bool, confirm: str | None) -> None:
    """Delete the server with its addresses, firewall, keys and records, after its name was typed.

    The volume stays, protected as it is, and the next `server create` attaches it again; with
    --with-data its protection is lifted and it is deleted. Exit status: 0 when nothing is left to
    take away, 1 for an error, or for another name.
    """
    from infisical_iac.cli.server_showing import make_all
    from infisical_iac.hetzner import destroying, session

    found = session.begun()
    changes = [*destroying.removals(found, with_data=with_data)]
    name, volume = found.want.name, found.have.volume
    kept = f"; the volume {volume.name} with its data is kept" if volume else ""
    if not changes:
        click.echo(f"Nothing of {name} is at Hetzner Cloud{kept}.")
        return
    show([each.item for each in changes], (), console(stderr=True))
    if volume is None:
        what = "and what is on its own disk, for it has no volume"
    else:
        what = "with ALL ITS DATA" if with_data else "but not its volume"
    question = f"This deletes the server {what}. Type the server's name, {name}"
    typed = confirm or click.prompt(question, err=True, default="", show_default=False)
    if typed != name:
        raise DestroyError(f"{typed!r} is not the server's name, {name}: nothing was done")
    make_all(changes)
    destroying.forget(found)
    click.echo(f"The server {name} is gone{'' if with_data else kept}.")
